"""docs/story-json.md names every field of a manifest and no other, and `deepsing again` uses every parameter."""

import json
import re
from array import array
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from deepsing.audio.facts import SongWarning
from deepsing.v1.composer_pb2 import NamedWeight, StoryboardKey, StoryConfig
from services.composer.output.manifest import VERSION, ManifestWriter, build_manifest_facts
from services.composer.session.config import parse_config
from services.composer.story.agreement import Agreement
from services.composer.story.frame import FrameInfo
from services.composer.story.judge_sampling import Judgement
from services.composer.story.music import MusicForm, Passage
from services.composer.story.plan import Size
from services.composer.story.rhythm import Tempo
from services.composer.story.summary import JudgeReport, JudgeSkill, SongInfo, StorySummary
from tests.architecture.tree import ROOT

DOCUMENT = ROOT / "docs/story-json.md"
OPEN = {
    "frames.concepts",
    "frames.styles",
    "parameters.storyboard.concepts",
    "digests",
}  # their keys are names of concepts, styles and models
TABLES = {  # first word of a table's head -> where its fields are in a manifest
    "field": [""],
    "field of a `frames` entry": ["frames."],
    "field of `parameters`": ["parameters."],
    "field of a `storyboard` entry": ["parameters.storyboard."],
    "field of a `passages` entry": ["passages."],
    "field of `tempo`": ["tempo."],
    "field of an agreement": ["arousal.", "valence.", "achieved.arousal.", "achieved.valence."],
    "field of `achieved`": ["achieved."],
    "field of a `readings` entry": ["readings."],
    "field of `song`": ["song."],
}


def write_manifest(path: Path) -> Any:
    """A manifest in which nothing is left out."""
    agreement = Agreement(r=0.9, ccc=0.8, rmse=0.1, n=2)
    frame = FrameInfo(0, 0.0, (0.1, -0.2), (0.15, -0.25), (("crow", 1.0),), (("indigo print", 1.0),), (0.4, 0.1))
    skill = JudgeSkill(r=0.69, n=900)
    summary = StorySummary(
        frame_count=1,
        duration_us=500_000,
        engine="canvas",
        translator="dictionary",
        digests={"engine": "00"},
        song=SongInfo(500_000, 22_050, 44_100, 2, "mp3float", "mp3", (SongWarning("SILENT", "the song is silent"),)),
        rated_by="people",
        arousal=agreement,
        valence=agreement,
        judged=JudgeReport(agreement, agreement, "11", skill, skill, missed_count=0),
        flashes_per_second=0,
        warnings=(),
        music=MusicForm((Passage(0.0, 0, 0.1, -0.2),), array("d", (0.1, 1.0)), Tempo(112.0, 4, 0.9)),
    )
    writer = ManifestWriter(path)
    writer.add(frame)
    key = StoryboardKey(concepts=[NamedWeight(name="crow", weight=1)], motion=0.5, locked=True)
    plan = parse_config(StoryConfig(storyboard=[key]))
    assert plan.rate == Fraction(24)
    writer.finish(
        build_manifest_facts(plan, Size(256, 256), summary, [Judgement(frame, (0.0, 0.1))], "id"), summary.music
    )
    return json.loads(path.read_text(encoding="utf-8"))


def list_fields(value: Any, prefix: str = "") -> Iterator[str]:
    """Every field of a JSON value by its path; those of a list's entries as if there were one."""
    if isinstance(value, list):
        for entry in value:
            yield from list_fields(entry, prefix)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield prefix + name
            if prefix + name not in OPEN:
                yield from list_fields(inner, f"{prefix}{name}.")


def list_documented() -> set[str]:
    """Every field that a table of the document names, by its path."""
    found, places = set(), [""]
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        first = line.removeprefix("|").partition("|")[0].strip() if line.startswith("|") else ""
        if first in TABLES:
            places = TABLES[first]
        elif names := re.findall(r"`([\w.]+)`", first):
            found |= {place + name for place in places for name in names}
    return found


def test_every_field_of_a_manifest_is_documented_and_no_other(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "story.json")
    within = {"achieved.judge", "achieved.judge.arousal", "achieved.judge.valence"}  # named with their own fields
    assert set(list_fields(manifest)) - within == list_documented()
    assert manifest["frames"][0]["concepts"] == {"crow": 1.0}


def test_the_document_names_the_version_of_the_code() -> None:
    assert f"`manifest_version` {VERSION}" in DOCUMENT.read_text(encoding="utf-8")


def test_again_uses_every_parameter_of_a_manifest(tmp_path: Path) -> None:
    """By its source: a parameter that came later has a default, so that older manifests can still be used."""
    source = (ROOT / "deepsing/cli/render.py").read_text(encoding="utf-8")
    used = set(re.findall(r"parameters(?:\[|\.get\()\"(\w+)\"", source))
    parameters = write_manifest(tmp_path / "story.json")["parameters"]
    assert len(parameters) >= 11
    assert set(parameters) == used
