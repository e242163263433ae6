"""Finds the code of the services, which a clone of the repository has and the wheel does not, and runs it."""

import importlib.util
import os
import sys
from pathlib import Path

from deepsing.local.failures import USAGE, CommandError

__all__ = ["service_root", "python_command", "python_environment"]


def service_root(module: str, way_out: str) -> Path:
    """Returns the folder that holds the package of `module`.

    Args:
        module: for example "services.composer".
        way_out: what the error says to do if the module is not installed here.

    Raises:
        CommandError: the module is not installed here.
    """
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise CommandError(f"{module} is not installed here; {way_out}", USAGE)
    depth = module.count(".") + (2 if spec.submodule_search_locations is not None else 1)
    return Path(spec.origin).resolve().parents[depth - 1]


def python_command(*arguments: str) -> list[str]:
    """Returns a command that runs this Python without the current folder on its path.

    Otherwise a folder called "services" in the current folder would be imported in place of ours.
    """
    return [sys.executable, "-P", *arguments]


def python_environment(root: Path, **more: str | None) -> dict[str, str]:
    """Returns this process's environment with `root` first on Python's path; variables given as None are removed."""
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
    variables = {**os.environ, "PYTHONPATH": path, **more}
    return {name: value for name, value in variables.items() if value is not None}
