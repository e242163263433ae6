"""The wheel without extras: every command starts, and what needs more names it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.commands import list_commands

HIDE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {packages!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {packages!r} else find_spec(name, package)
from deepsing.cli.__main__ import main
statuses = []
for words in {commands!r}:
    try:
        statuses.append(main(words))
    except SystemExit as end:
        statuses.append(end.code)
print(statuses)
"""
EXTRAS = ("av", "PIL", "onnxruntime", "matplotlib", "grpc_health", "grpc_reflection", "boto3", "jwt", "opentelemetry")


def run_without_extras(*commands: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs commands one after another where nothing but the wheel's own requirements can be imported."""
    program = HIDE.format(packages=EXTRAS, commands=commands)
    return subprocess.run([sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True, check=False)


def test_every_command_has_its_help(tmp_path: Path) -> None:
    commands = [[*words, "--help"] for words in list_commands() if words != ("bench",)]  # its help is the program's
    done = run_without_extras(*commands, cwd=tmp_path)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == str([0] * len(commands))


@pytest.mark.parametrize(
    ("words", "what", "extra"),
    [
        (["live", "song.mp3"], "live sound needs PyAV, which is not installed here", "serve"),
        (["concepts", "--sheet", "all.png"], "--sheet needs Pillow, which is not installed here", "serve"),
        (["live"], "live sound needs PyAV, which is not installed here", "serve"),
        (["models", "pull", "biggan-deep-128", "--from", "s3://bucket/x/"], "s3:// needs boto3", "s3"),
    ],
)
def test_what_needs_an_extra_says_how_to_install_it_from_a_clone_and_from_a_wheel(
    words: list[str], what: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSING_MODELS_DIR", str(tmp_path / "models"))
    (tmp_path / "song.mp3").write_bytes(b"song")
    done = run_without_extras(words, cwd=tmp_path)
    assert done.stdout == "[2]\n"
    assert done.stderr.startswith(f"deepsing: {what}")
    assert f"pip install -e '.[{extra}]' in a clone" in done.stderr
    assert f".whl[{extra}]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_composer_elsewhere_can_be_asked(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(b"song")
    done = run_without_extras(["probe", "song.mp3", "--target", "127.0.0.1:1", "--wait", "0"], cwd=tmp_path)
    assert done.stdout == "[1]\n"
    assert "127.0.0.1:1 does not answer" in done.stderr


def test_a_contact_sheet_without_pillow_says_how_to_install_it(tmp_path: Path) -> None:
    program = HIDE.format(packages=EXTRAS, commands=[]) + (
        "from pathlib import Path\n"
        "from deepsing.cli.storyboard_sheet import draw_sheet\n"
        "from deepsing.cli.entry import run_command\n"
        "run_command(lambda: draw_sheet(Path('sheet.png'), [], 1.0))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr.startswith("deepsing: the contact sheet needs Pillow; run pip install -e '.[serve]' in a clone")
    assert list(tmp_path.iterdir()) == []
