"""Opens engines and styles as the settings say, and the painter that uses them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from deepsing.runtime.artifacts import ArtifactError, Manifest, load_artifact
from deepsing.runtime.cores import available_cores
from deepsing.runtime.onnx import open_session
from deepsing.runtime.settings import SettingsError, parse_folders
from services.generator.engine import EXPORTERS, RATERS, Engine
from services.generator.painter import Painter
from services.generator.settings import PREFIX, Settings, run_lengths
from services.generator.style_pictures import open_picture_stylist
from services.generator.stylize import Stylist

__all__ = ["load_painter"]

EMBEDDED = Path(__file__).parent / "weights"
STYLES = "painting"  # manifest of the network of the built-in styles
ANY_STYLE, STYLE_VECTOR = "any_style", "style_vector"  # manifests of the networks for styles from pictures


def load_painter(settings: Settings) -> tuple[dict[str, Engine], Stylist, Painter]:
    """Opens engines (the default first) and styles and paints once with each; blocks for about half a second.

    Raises:
        SettingsError: a folder is missing, an engine has an unknown kind, or the style pictures cannot be used.
        ArtifactError: a file is missing or differs from its manifest.
        ProviderError: the provider is not available on this machine.
    """
    parse_folders(f"{PREFIX}WEIGHTS", settings.weights)
    if not settings.engines:
        raise SettingsError(f"{PREFIX}ENGINES is empty; name at least one engine")
    engines: dict[str, Engine] = {}
    for name in settings.engines:
        manifest, session = _open_network(_find_manifest(name, settings), settings)
        kind = manifest.data.get("engine")
        if kind not in EXPORTERS:
            raise SettingsError(f"{PREFIX}ENGINES holds {name!r} of kind {kind!r}; kinds are: {', '.join(EXPORTERS)}")
        engines[name] = Engine(name, manifest.sha256, session, kind=kind, rated_by=_parse_rated_by(manifest))
    stylist, session = _open_stylist(settings)
    on_cpu = session.get_providers()[0] == "CPUExecutionProvider"  # the choice of "auto"
    lanes, runs = (settings.threads or available_cores(), (1,)) if on_cpu else (1, run_lengths(settings))
    painter = Painter(engines, stylist, lanes, runs)
    painter.warm_up()
    return engines, stylist, painter


def _parse_rated_by(manifest: Manifest) -> str:
    """Who rated an engine's concepts; empty where the manifest does not say, as in those of earlier versions."""
    rated_by = manifest.data.get("rated_by", "")
    if rated_by not in ("", *RATERS):
        raise ArtifactError(
            f"the manifest of {manifest.name} says rated_by {rated_by!r}; it may be {', '.join(RATERS)}, or left out"
        )
    return str(rated_by)


def _find_manifest(name: str, settings: Settings) -> Path:
    """The manifest of a network in the first folder that has it, else in the shipped one."""
    places = [Path(folder).expanduser() / f"{name}.json" for folder in settings.weights]
    return next((place for place in places if place.exists()), EMBEDDED / f"{name}.json")


def _open_stylist(settings: Settings) -> tuple[Stylist, Any]:
    """Opens the styles, the built-in ones or those of the operator's pictures, and their network."""
    if not settings.style_pictures:
        manifest, session = _open_network(_find_manifest(STYLES, settings), settings)
        return Stylist(manifest.sha256, session), session
    predictor_manifest, predictor = _open_network(EMBEDDED / f"{STYLE_VECTOR}.json", replace(settings, provider="cpu"))
    manifest, session = _open_network(EMBEDDED / f"{ANY_STYLE}.json", settings)
    try:
        own = open_picture_stylist(
            Path(settings.style_pictures), predictor, session, (predictor_manifest.sha256, manifest.sha256)
        )
    except ValueError as error:
        raise SettingsError(f"{PREFIX}STYLE_PICTURES: {error}") from None
    return own, session


def _open_network(path: Path, settings: Settings) -> tuple[Manifest, Any]:
    """Checks a network's digest and opens it with one thread: the painter makes several runs in parallel."""
    manifest, file = load_artifact(path)
    return manifest, open_session(file, provider=settings.provider, threads=1)
