"""Engines of an operator's folders stand beside the one that is shipped; the lengths of a GPU's runs are checked."""

import hashlib
import json
import shutil
from pathlib import Path

import onnx
import pytest

from deepsing.runtime.artifacts import ArtifactError
from deepsing.runtime.settings import SettingsError
from deepsing.v1 import generator_pb2, sentiment_pb2
from services.generator import rpc
from services.generator.concepts import Concept, concepts_to_json
from services.generator.settings import Settings, run_lengths
from tests.unit.generator.opened import WEIGHTS


async def test_an_own_engine_and_the_shipped_one_are_served_together() -> None:
    servicer = rpc.open_generator(Settings(engines=("canvas", "tiny"), weights=(str(WEIGHTS),)))
    listed = [
        await servicer.ListConcepts(generator_pb2.ListConceptsRequest(engine=engine), None) for engine in ("", "tiny")
    ]
    assert [(one.engine.name, one.engine.native_size.width_px) for one in listed] == [("canvas", 640), ("tiny", 64)]
    assert (listed[0].engine.noise_size, listed[1].engine.noise_size) == (128, 4)
    mixed, unknown = sentiment_pb2.RATING_SOURCE_MIXED, sentiment_pb2.RATING_SOURCE_UNSPECIFIED
    assert [one.engine.rated_by for one in listed] == [mixed, unknown]
    await servicer.close()


def test_a_folder_that_is_not_there_is_refused_even_if_another_has_the_engine() -> None:
    with pytest.raises(SettingsError, match="DEEPSING_GENERATOR_WEIGHTS names '/nowhere', which is no folder"):
        rpc.open_generator(Settings(engines=("tiny",), weights=("/nowhere", str(WEIGHTS))))


def test_an_engine_that_is_nowhere_is_named() -> None:
    with pytest.raises(ArtifactError, match=r"weights/gone\.json cannot be read"):
        rpc.open_generator(Settings(engines=("gone",), weights=(str(WEIGHTS),)))


def describe_tiny(folder: Path, **facts: str) -> Settings:
    """Copies the tiny engine into a folder, with more facts in its manifest; returns the settings that serve it."""
    shutil.copy(WEIGHTS / "tiny.onnx", folder)
    manifest = json.loads((WEIGHTS / "tiny.json").read_text(encoding="utf-8"))
    (folder / "tiny.json").write_text(json.dumps(manifest | facts), encoding="utf-8")
    return Settings(engines=("tiny",), weights=(str(folder),))


async def test_an_engine_whose_concepts_a_model_rated_says_so(tmp_path: Path) -> None:
    servicer = rpc.open_generator(describe_tiny(tmp_path, rated_by="model"))
    answer = await servicer.ListConcepts(generator_pb2.ListConceptsRequest(), None)
    assert answer.engine.rated_by == sentiment_pb2.RATING_SOURCE_MODEL
    assert {concept.rated_by for concept in answer.concepts} == {sentiment_pb2.RATING_SOURCE_MODEL}
    await servicer.close()


async def test_the_concepts_of_an_engine_say_their_themes_and_who_rated_them(tmp_path: Path) -> None:
    settings = describe_tiny(tmp_path, rated_by="mixed")
    concepts = [
        Concept("lake", -0.5, 0.6, ("water", "woods"), "people"),
        Concept("storm", 0.7, -0.4, ("sea",), "model"),
    ]
    model = onnx.load(tmp_path / "tiny.onnx")
    facts = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, facts | {"concepts": concepts_to_json([*concepts, Concept("fog", 0.0, 0.0)])})
    onnx.save(model, tmp_path / "tiny.onnx")
    manifest = json.loads((tmp_path / "tiny.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256((tmp_path / "tiny.onnx").read_bytes()).hexdigest()
    (tmp_path / "tiny.json").write_text(json.dumps(manifest | {"sha256": digest}), encoding="utf-8")
    servicer = rpc.open_generator(settings)
    answer = await servicer.ListConcepts(generator_pb2.ListConceptsRequest(), None)
    assert [list(concept.themes) for concept in answer.concepts] == [["water", "woods"], ["sea"], []]
    assert [concept.rated_by for concept in answer.concepts] == [
        sentiment_pb2.RATING_SOURCE_PEOPLE,
        sentiment_pb2.RATING_SOURCE_MODEL,
        sentiment_pb2.RATING_SOURCE_UNSPECIFIED,
    ]
    await servicer.close()


def test_a_manifest_with_another_rater_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ArtifactError, match="of tiny says rated_by 'dogs'; it may be people, model, mixed, or left out"
    ):
        rpc.open_generator(describe_tiny(tmp_path, rated_by="dogs"))


def test_an_engine_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    rule = "DEEPSING_GENERATOR_ENGINES holds 'tiny' of kind 'magic'; kinds are: canvas, biggan-deep"
    with pytest.raises(SettingsError, match=rule):
        rpc.open_generator(describe_tiny(tmp_path, engine="magic"))


@pytest.mark.parametrize("runs", [(), ("0",), ("65",), ("4", "many")])
def test_runs_that_are_no_lengths_are_refused(runs: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match=r"DEEPSING_GENERATOR_RUNS is .*; set it to whole numbers from 1 to 64"):
        run_lengths(Settings(runs=runs))


def test_runs_are_read_as_numbers() -> None:
    assert run_lengths(Settings(runs=("1", "2", "8"))) == (1, 2, 8)
