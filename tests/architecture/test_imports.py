"""Who imports whom: the contracts of .importlinter hold, and they bite."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, SERVICES

LINT = str(Path(sys.executable).with_name("lint-imports"))
PACKAGES = [
    "deepsing",
    *(
        f"deepsing/{part}"
        for part in ["v1", "telemetry", "rpc", "runtime", "access", "audio", "client", "local", "cli"]
    ),
    "services",
    *(f"services/{service}" for service in SERVICES),
    "services/translator/judge",
    *(
        f"services/composer/{room}"
        for room in ["story", "film", "backends", "upload", "output", "pipeline", "session", "stored"]
    ),
    "training",
]
# What each contract is there to refuse: a file, and what it must not say.
OFFENCES = {
    "layers": [
        ("services/generator/new.py", "import training"),
        ("deepsing/runtime/new.py", "import services.generator"),
        ("deepsing/v1/new.py", "import deepsing.runtime"),
        ("deepsing/rpc/new.py", "import deepsing.telemetry"),
        ("deepsing/rpc/new.py", "import deepsing.runtime"),
        ("deepsing/runtime/new.py", "import deepsing.access"),
        ("deepsing/access/new.py", "import deepsing.client"),
        ("deepsing/client/new.py", "import deepsing.local"),
        ("deepsing/local/new.py", "import deepsing.cli"),
        ("deepsing/client/new.py", "import services.composer"),
        ("deepsing/cli/new.py", "import services.composer"),
        ("deepsing/cli/new.py", "import training"),
        ("deepsing/audio/new.py", "import deepsing.runtime"),
    ],
    "no-client-in-services": [
        ("services/composer/new.py", "import deepsing.client"),
        ("services/composer/new.py", "import deepsing.local"),
    ],
    "siblings": [("services/translator/new.py", "import services.generator")],
    "decoder": [("deepsing/audio/new.py", "import grpc")],
    "queue": [("deepsing/runtime/fair_queue.py", "import asyncio")],
    "training-only": [
        ("deepsing/runtime/new.py", "def late():\n    import torch"),
        ("services/generator/new.py", "import onnx"),
    ],
    "inside": [("services/generator/new.py", "import services.generator.rpc")],
    "pure": [
        ("services/generator/new.py", "from deepsing.rpc import errors"),
        ("services/generator/generate.py", "import deepsing.access"),
        ("services/generator/painter.py", "from deepsing.telemetry import tracing"),
        ("services/audio_sentiment/new.py", "import deepsing.v1"),
        ("services/translator/new.py", "import grpc"),
        ("services/translator/judge/new.py", "import services.translator.judge.service\nimport grpc"),
        ("services/composer/story/timeline.py", "from google.protobuf import message"),
        ("services/composer/story/new.py", "import grpc"),
    ],
    "composer": [
        ("services/composer/story/new.py", "import services.composer.pipeline"),
        ("services/composer/output/new.py", "import services.composer.upload"),
        ("services/composer/backends/new.py", "import services.composer.output"),
        ("services/composer/pipeline/new.py", "import services.composer.session"),
        ("services/composer/session/new.py", "import services.composer.stored"),
    ],
    "composer-messages": [
        ("services/composer/pipeline/new.py", "import deepsing.v1.composer_pb2"),
        ("services/composer/metrics.py", "import deepsing.v1.composer_pb2"),
    ],
}
CASES = [(contract, path, text) for contract, cases in OFFENCES.items() for path, text in cases]


def lint(tree: Path, *options: str) -> subprocess.CompletedProcess[str]:
    # lint-imports looks into its working directory first, so the copy is looked at and not the installed tree.
    return subprocess.run([LINT, "--no-cache", *options], cwd=tree, capture_output=True, text=True, check=False)


@pytest.fixture
def model_tree(tmp_path: Path) -> Path:
    """A tree of the right shape in which nothing imports anything."""
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    for service in SERVICES:
        for module in ("__main__", "bento", "rpc"):
            (tmp_path / "services" / service / f"{module}.py").touch()
    (tmp_path / "training/train.py").write_text("import torch\n")
    for module in ("deepsing/runtime/fair_queue", "deepsing/v1/composer_pb2"):
        (tmp_path / f"{module}.py").touch()
    for module in ("audio_sentiment/models", "generator/loading", "translator/judge/service"):
        (tmp_path / f"services/{module}.py").touch()
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def test_all_import_contracts_hold() -> None:
    answer = lint(ROOT)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize(("contract", "path", "text"), CASES)
def test_a_contract_refuses_what_it_is_there_for(contract: str, path: str, text: str, model_tree: Path) -> None:
    assert lint(model_tree).returncode == 0
    (model_tree / path).write_text(text + "\n")
    answer = lint(model_tree, "--contract", contract)
    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert "BROKEN" in answer.stdout


def test_every_contract_has_an_offence_here() -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter", encoding="utf-8")
    assert {section.split(":")[-1] for section in parser.sections()} - {"importlinter"} == set(OFFENCES)
