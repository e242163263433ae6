"""The folder of engines that a user has fetched or made, and the settings that make services load them."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Model", "cache_folder", "engine_settings", "list_models", "models_folder"]

VARIABLE = "DEEPSING_MODELS_DIR"
BUILT_IN = "canvas"  # stays the default engine when one more is loaded


@dataclass(frozen=True)
class Model:
    """An engine in the folder, or the files of one that have not been converted yet."""

    name: str
    state: str  # "ready" or "fetched"
    kind: str
    size_bytes: int
    sha256: str
    rated_by: str = ""  # who rated its concepts: "people", "model" or "mixed"; empty where that is not known


def models_folder() -> Path:
    """Returns DEEPSING_MODELS_DIR, else deepsing/models below XDG_DATA_HOME (default: ~/.local/share)."""
    if own := os.environ.get(VARIABLE):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "deepsing" / "models"


def list_models(folder: Path) -> list[Model]:
    """Returns the engines in the folder, sorted by name."""
    ready = {model.name: model for model in _read_ready(folder)}
    fetched = {
        path.parent.name: Model(path.parent.name, "fetched", "", path.stat().st_size, "")
        for path in folder.glob("*/pytorch_model.bin")
    }
    return [model for _, model in sorted((fetched | ready).items())]


def _read_ready(folder: Path) -> Iterator[Model]:
    for path in folder.glob("*.json"):
        try:
            manifest: Any = json.loads(path.read_text(encoding="utf-8"))
            weights = path.with_name(manifest["file"])
            rater = manifest.get("rated_by", "")
            yield Model(path.stem, "ready", manifest["engine"], weights.stat().st_size, manifest["sha256"], rater)
        except (OSError, ValueError, KeyError, TypeError):  # not one of our manifests, or an incomplete one
            continue


def cache_folder() -> Path:
    """Returns the folder of engines that stories made on the way, each in a folder of its own name."""
    return models_folder() / "cache"


def engine_settings(engine: str, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Returns the variables that make local services load `engine` if a folder has it, without those already set."""
    places = (models_folder(), cache_folder() / engine)
    folder = next((place for place in places if (place / f"{engine}.json").exists()), None)
    if not engine or engine == BUILT_IN or folder is None:
        return {}
    wanted = {
        "DEEPSING_GENERATOR_ENGINES": f"{BUILT_IN},{engine}",
        "DEEPSING_GENERATOR_WEIGHTS": str(folder),
        "DEEPSING_TRANSLATOR_WEIGHTS": str(folder),  # it reads ENGINE_concepts.json there
    }
    return {name: value for name, value in wanted.items() if name not in environment}
