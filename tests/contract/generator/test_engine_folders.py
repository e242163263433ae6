"""Engines of an operator's folders stand beside the one that is shipped; the lengths of a GPU's runs are checked."""

import json
import shutil
from pathlib import Path

import pytest

from deepsing.runtime.artifacts import ArtifactError
from deepsing.runtime.settings import SettingsError
from deepsing.v1 import generator_pb2
from services.generator import rpc
from services.generator.settings import Settings, run_lengths
from tests.unit.generator.opened import WEIGHTS


async def test_an_own_engine_and_the_shipped_one_are_served_together() -> None:
    servicer = rpc.open_generator(Settings(engines=("morph", "tiny"), weights=("/nowhere", str(WEIGHTS))))
    listed = [
        await servicer.ListConcepts(generator_pb2.ListConceptsRequest(engine=engine), None) for engine in ("", "tiny")
    ]
    assert [(one.engine.name, one.engine.native_size.width_px) for one in listed] == [("morph", 256), ("tiny", 64)]
    assert (listed[0].engine.noise_size, listed[1].engine.noise_size) == (128, 4)
    await servicer.close()


def test_an_engine_that_is_nowhere_is_named() -> None:
    with pytest.raises(ArtifactError, match=r"weights/gone\.json cannot be read"):
        rpc.open_generator(Settings(engines=("gone",), weights=(str(WEIGHTS),)))


def test_an_engine_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    shutil.copy(WEIGHTS / "tiny.onnx", tmp_path)
    manifest = json.loads((WEIGHTS / "tiny.json").read_text(encoding="utf-8"))
    (tmp_path / "tiny.json").write_text(json.dumps(manifest | {"engine": "magic"}), encoding="utf-8")
    rule = "DEEPSING_GENERATOR_ENGINES holds 'tiny' of kind 'magic'; kinds are: morph, biggan-deep"
    with pytest.raises(SettingsError, match=rule):
        rpc.open_generator(Settings(engines=("tiny",), weights=(str(tmp_path),)))


@pytest.mark.parametrize("runs", [(), ("0",), ("65",), ("4", "many")])
def test_runs_that_are_no_lengths_are_refused(runs: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match=r"DEEPSING_GENERATOR_RUNS is .*; set it to whole numbers from 1 to 64"):
        run_lengths(Settings(runs=runs))


def test_runs_are_read_as_numbers() -> None:
    assert run_lengths(Settings(runs=("1", "2", "8"))) == (1, 2, 8)
