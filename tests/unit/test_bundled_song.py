"""The song in examples/: playable, loud where the story wants it, and made from the notation beside it."""

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest
from numpy.typing import NDArray

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SONG = EXAMPLES / "peer_gynt.mp3"
SAMPLE_RATE_HZ = 44_100
MOUNTAIN_KING_S = 41.8  # examples/README.md: where the third scene starts


@pytest.fixture(scope="module")
def pcm() -> NDArray[np.float32]:
    """(2, samples)."""
    with av.open(SONG) as container:
        assert container.streams.audio[0].rate == SAMPLE_RATE_HZ
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("peer_gynt", EXAMPLES / "peer_gynt.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def loudness_db(pcm: NDArray[np.float32], start_s: float, end_s: float) -> float:
    part = pcm[:, int(start_s * SAMPLE_RATE_HZ) : int(end_s * SAMPLE_RATE_HZ)]
    return float(10 * np.log10(np.mean(part.astype(np.float64) ** 2)))


def test_the_song_is_small_enough_to_ship() -> None:
    assert SONG.stat().st_size <= 1_300_000


def test_the_song_is_stereo_and_lasts_between_45_and_90_seconds(pcm: NDArray[np.float32]) -> None:
    assert pcm.shape[0] == 2
    assert 45 <= pcm.shape[1] / SAMPLE_RATE_HZ <= 90
    assert not np.array_equal(pcm[0], pcm[1])


def test_the_song_uses_the_full_range_without_clipping(pcm: NDArray[np.float32]) -> None:
    assert np.abs(pcm).max() == pytest.approx(10 ** (-1 / 20), abs=0.02)


def test_the_song_is_nowhere_silent_until_its_last_sound_has_died_away(pcm: NDArray[np.float32]) -> None:
    end_s = pcm.shape[1] / SAMPLE_RATE_HZ
    assert min(loudness_db(pcm, at, at + 0.4) for at in np.arange(0, end_s - 1, 0.2)) > -50


def test_the_mountain_king_ends_far_louder_than_he_begins(pcm: NDArray[np.float32]) -> None:
    begins = loudness_db(pcm, MOUNTAIN_KING_S, MOUNTAIN_KING_S + 5)
    assert loudness_db(pcm, 62, 66) > begins + 12


def test_the_death_of_ase_is_softer_than_the_morning_and_the_mountain_king(pcm: NDArray[np.float32]) -> None:
    morning, death, king = (loudness_db(pcm, *scene) for scene in ((0, 23.8), (23.8, MOUNTAIN_KING_S), (42, 73)))
    assert death < morning - 4
    assert death < king - 8


def test_the_midi_file_is_what_the_script_writes_from_the_notation(script: ModuleType, tmp_path: Path) -> None:
    score = tomllib.loads((EXAMPLES / "peer_gynt.toml").read_text(encoding="utf-8"))
    scenes = script.write_midi(score, tmp_path / "song.mid")
    assert (tmp_path / "song.mid").read_bytes() == (EXAMPLES / "peer_gynt.mid").read_bytes()
    assert [name for name, _, _ in scenes] == ["Morning Mood", "The Death of Åse", "In the Hall of the Mountain King"]
    assert scenes[2][1] == pytest.approx(MOUNTAIN_KING_S, abs=0.05)


def test_notation_gives_pitches_lengths_and_moved_phrases(script: ModuleType) -> None:
    notes, quarters = script.read_notes(
        "B4 C#5:2 r:1 | E4+G#+B' @up-1 r:2 | R1", unit=1.0, bar=4.0, phrases={"up": "D5"}
    )
    assert [(note.start, note.pitches) for note in notes] == [(0, (71,)), (1, (73,)), (4, (64, 68, 71)), (5, (62,))]
    assert [note.length for note in notes] == pytest.approx([0.97, 1.94, 0.5, 0.97])
    assert quarters == 12


@pytest.mark.parametrize("notation", ["H4", "C4:x", "C4 | D4:3"])
def test_wrong_notation_is_refused(script: ModuleType, notation: str) -> None:
    with pytest.raises(ValueError, match=r"notation|bar line"):
        script.read_notes(notation, unit=1.0, bar=4.0, phrases={})
