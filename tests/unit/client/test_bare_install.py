"""`pip install deepsing` without extras: the client needs nothing but the base dependencies."""

import asyncio
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from tests.unit.client.fake_composer import FakeComposer, serve_composer, whole_story

ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 60.0
PRELUDE = """
import sys

class Bare:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in {allowed!r} and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Bare())
"""


def list_distributions(requirements: list[str]) -> Iterator[str]:
    """Yields the names of what is installed for some requirements, and for theirs, without extras."""
    for requirement in requirements:
        if "extra ==" not in requirement:
            name = re.split(r"[^A-Za-z0-9._-]", requirement)[0]
            try:
                needed = metadata.requires(name) or []
            except metadata.PackageNotFoundError:  # of another Python or system
                continue
            yield re.sub(r"[-_.]+", "-", name).lower()
            yield from list_distributions(needed)


@pytest.fixture(scope="module")
def prelude() -> str:
    """Returns code after which only the standard library, deepsing and its base dependencies can be imported."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installed = set(list_distributions(project["dependencies"]))
    modules = {
        module
        for module, names in metadata.packages_distributions().items()
        if any(re.sub(r"[-_.]+", "-", name).lower() in installed for name in names)
    }
    return PRELUDE.format(allowed={"deepsing", *modules})


def run(code: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", code]
    return subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, check=False, cwd=ROOT)


@pytest.mark.parametrize("module", ["av", "PIL", "onnxruntime", "matplotlib", "grpc_health", "jwt", "torch"])
def test_what_only_extras_bring_is_not_there(prelude: str, module: str) -> None:
    assert f"ModuleNotFoundError: No module named '{module}'" in run(f"{prelude}import {module}").stderr


@pytest.mark.parametrize("module", ["deepsing", "deepsing.client", "deepsing.access.outgoing", "deepsing.cli"])
def test_it_can_be_imported(prelude: str, module: str) -> None:
    result = run(f"{prelude}import {module}")
    assert (result.returncode, result.stderr) == (0, "")


async def test_a_program_renders_a_story(prelude: str, tmp_path: Path) -> None:
    song, out = tmp_path / "song.mp3", tmp_path / "story.mp4"
    song.write_bytes(b"song")
    async with serve_composer(FakeComposer(whole_story())) as target:
        code = f"from deepsing.client import render_story; render_story({str(song)!r}, {str(out)!r}, target={target!r})"
        result = await asyncio.to_thread(run, prelude + code)
    assert (result.returncode, result.stderr) == (0, "")
    assert len(list_names(tmp_path)) == 5


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
