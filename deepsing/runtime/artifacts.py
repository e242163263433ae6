"""Loads model files and checks them: a JSON manifest beside the weights holds their sha256."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["load_artifact", "Manifest", "ArtifactError"]


class ArtifactError(Exception):
    """A model file is missing, or differs from what its manifest says."""


@dataclass(frozen=True)
class Manifest:
    """What a manifest says of a model file."""

    name: str
    file: str  # name of the weights, in the manifest's folder
    sha256: str  # of the weights, 64 lower-case hex digits
    data: dict[str, Any]  # the whole JSON object


def load_artifact(manifest_path: Path) -> tuple[Manifest, Path]:
    """Reads a manifest and checks the weights that it names.

    Args:
        manifest_path: a JSON object with at least "name", "file" and "sha256".

    Returns:
        The manifest and the path of the weights, whose digest is right.

    Raises:
        ArtifactError: either file is missing, the manifest is not one, or the digest differs.
    """
    manifest = _read_manifest(manifest_path)
    weights = manifest_path.parent / manifest.file
    try:
        with weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(
            f"the weights {weights} cannot be read ({error.strerror}); put the file that {manifest_path} names there"
        ) from error
    if digest != manifest.sha256:
        raise ArtifactError(
            f"{weights} has sha256 {digest} but {manifest_path.name} says {manifest.sha256}; fetch or export it again"
        )
    return manifest, weights


def _read_manifest(path: Path) -> Manifest:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtifactError(f"the manifest {path} cannot be read ({error.strerror}); check the model folder") from error
    except ValueError as error:
        raise ArtifactError(f"the manifest {path} is not JSON ({error}); export the model again") from error
    missing = [
        key for key in ("name", "file", "sha256") if not isinstance(data, dict) or not isinstance(data.get(key), str)
    ]
    if missing:
        raise ArtifactError(f"the manifest {path} lacks {', '.join(missing)}; export the model again")
    manifest = Manifest(name=data["name"], file=data["file"], sha256=data["sha256"], data=data)
    if Path(manifest.file).name != manifest.file:
        raise ArtifactError(f"the manifest {path} names {manifest.file!r}; name a file beside it, without folders")
    return manifest
