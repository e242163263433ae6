"""A service stands alone: with `deepsing/` and no sibling, and without what only training needs."""

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, SERVICES

TRAINING_ONLY = {"torch", "librosa", "scipy", "matplotlib", "onnx", "tqdm"}
LIST_LOADED = """
import json, sys
before = set(sys.modules)  # what the interpreter's own site brings
sys.path.insert(0, {folder!r})
import services.{service}.rpc, services.{service}.__main__
print(json.dumps(sorted(set(sys.modules) - before)))
"""

each_service = pytest.mark.parametrize("service", SERVICES)


@functools.cache
def import_alone(service: str) -> frozenset[str]:
    """Names of the modules that a server loads, imported from a copy that holds that service only."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        ignore = shutil.ignore_patterns("__pycache__", "*.pt")
        shutil.copytree(ROOT / "deepsing", copy / "deepsing", ignore=ignore)
        shutil.copytree(ROOT / "services" / service, copy / "services" / service, ignore=ignore)
        shutil.copy(ROOT / "services" / "__init__.py", copy / "services")
        answer = subprocess.run(
            # -P and an own path: an editable install must not lend the sibling from the source tree.
            [sys.executable, "-P", "-c", LIST_LOADED.format(folder=folder, service=service)],
            cwd=copy,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert answer.returncode == 0, answer.stderr
    return frozenset(json.loads(answer.stdout.splitlines()[-1]))


@each_service
def test_a_service_can_be_imported_without_its_siblings(service: str) -> None:
    in_services = {name.split(".")[1] for name in import_alone(service) if name.startswith("services.")}
    assert in_services == {service}


@each_service
def test_a_server_loads_nothing_that_only_training_or_pictures_of_curves_need(service: str) -> None:
    assert {name.split(".")[0] for name in import_alone(service)} & TRAINING_ONLY == set()


@each_service
def test_metrics_and_traces_cost_no_import_while_nobody_asks_for_them(service: str) -> None:
    assert {name.split(".")[0] for name in import_alone(service)} & {"prometheus_client", "opentelemetry"} == set()


@each_service
def test_a_server_loads_neither_the_client_nor_the_command_line(service: str) -> None:
    assert {
        name for name in import_alone(service) if name.startswith(("deepsing.client", "deepsing.local", "deepsing.cli"))
    } == set()


def test_only_what_applications_import_is_published() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["deepsing"]
