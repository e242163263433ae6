"""What the architecture tests look at: the tree's own files, as git sees them."""

__all__ = ["ROOT", "SERVICES", "list_hand_written", "relative", "find_settings", "list_tracked"]

import dataclasses
import functools
import importlib
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("audio_sentiment", "translator", "generator", "composer")


@functools.cache
def list_tracked() -> tuple[Path, ...]:
    """Files that are, or are about to be, in version control; ignored ones are none of our business."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    return tuple(ROOT / name for name in sorted(set(listing.split("\0"))) if name and (ROOT / name).is_file())


def list_hand_written(*folders: str) -> list[Path]:
    """Python files that people wrote, under the given folders of the root (none: everywhere)."""
    roots = [ROOT / folder for folder in folders] or [ROOT]
    return [
        path
        for path in list_tracked()
        if path.suffix == ".py"
        and not path.is_relative_to(ROOT / "deepsing" / "v1")
        and any(path.is_relative_to(root) for root in roots)
    ]


def relative(path: Path) -> str:
    """A path as a person would quote it."""
    return path.relative_to(ROOT).as_posix()


def find_settings(service: str) -> type:
    """The one dataclass that `services/<service>/settings.py` defines."""
    module = importlib.import_module(f"services.{service}.settings")
    (settings,) = (
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
    )
    return settings
