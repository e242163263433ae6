import wave
from pathlib import Path

import numpy as np
import pytest

from deepsing.audio import AudioError
from tests.unit.audio_sentiment.signals import chords
from training.audio_sentiment.labels import LabelsError, RatedSong, is_kept
from training.audio_sentiment.medleys import Medley, Part, draw_medleys, draw_returns, render_medley

SIGNS = [(1.0, 1.0), (1.0, -1.0), (-1.0, -1.0), (-1.0, 1.0)]


def songs(count: int, folder: Path = Path()) -> list[RatedSong]:
    return [
        RatedSong(folder / f"{k}.wav", *SIGNS[k % 4], "quadrant", f"artist {k // 2}", {"file": f"{k}.wav"})
        for k in range(count)
    ]


def write_wav(path: Path, seconds: float, level: float, seed: int) -> None:
    samples = chords(seconds, seed=seed, level=level)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes((samples * 32767).astype("<i2").tobytes())


def test_a_medley_has_one_song_of_each_quadrant_and_no_artist_twice() -> None:
    for medley in draw_medleys(songs(40), 20, seed=3):
        assert sorted(part.signs for part in medley.parts) == sorted((a > 0, v > 0) for a, v in SIGNS)
        assert len({part.song.group for part in medley.parts}) == 4
        assert medley.cuts_s == [25.0, 50.0, 75.0]


def test_a_seed_draws_the_same_medleys_and_another_seed_others() -> None:
    first, again, other = (draw_medleys(songs(40), 5, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_every_song_has_its_turn_before_one_comes_again() -> None:
    drawn = [part.song.path for medley in draw_medleys(songs(40), 10, seed=1) for part in medley.parts]
    assert len(set(drawn)) == 40


def test_a_song_that_comes_back_comes_with_another_stretch() -> None:
    for medley in draw_returns(songs(40), 10, seed=1):
        letters = [part.letter for part in medley.parts]
        assert len(set(letters)) < len(letters)
        assert len({(part.song.path, part.start_s) for part in medley.parts}) == len(letters)
        assert len({part.song.path for part in medley.parts}) == len(set(letters))


def test_songs_of_three_quadrants_are_refused() -> None:
    with pytest.raises(LabelsError, match="no song is rated clearly of low arousal and high valence"):
        draw_medleys([song for song in songs(40) if (song.arousal, song.valence) != (-1, 1)], 1, seed=1)


def test_parts_are_as_long_as_said_and_equally_loud(tmp_path: Path) -> None:
    for k, level in enumerate((0.9, 0.1)):
        write_wav(tmp_path / f"{k}.wav", 5.0, level, k)
    parts = tuple(Part(song, 0.5, 4.0, letter) for song, letter in zip(songs(2, tmp_path), "AB", strict=True))
    samples = render_medley(Medley(parts), [part.song.path for part in parts])
    assert samples.shape == (8 * 16_000,)
    first, second = (20 * np.log10(np.sqrt(np.mean(np.square(half)))) for half in np.split(samples, 2))
    assert abs(first - second) < 3.0  # of power; loudness weighs frequencies


def test_a_fade_shortens_a_medley_and_its_cut_is_in_the_middle_of_it(tmp_path: Path) -> None:
    for k in range(2):
        write_wav(tmp_path / f"{k}.wav", 5.0, 0.5, k)
    parts = tuple(Part(song, 0.0, 4.0, letter) for song, letter in zip(songs(2, tmp_path), "AB", strict=True))
    medley = Medley(parts, fade_s=1.0)
    assert render_medley(medley, [part.song.path for part in parts]).shape == (7 * 16_000,)
    assert medley.cuts_s == [3.5]


def test_a_song_that_is_too_short_for_its_part_is_refused(tmp_path: Path) -> None:
    write_wav(tmp_path / "0.wav", 3.0, 0.5, 0)
    part = Part(songs(1, tmp_path)[0], 0.0, 4.0, "A")
    with pytest.raises(AudioError):
        render_medley(Medley((part,)), [part.song.path])


def test_about_a_third_of_all_groups_is_kept_by_name_alone() -> None:
    kept = [is_kept(f"artist {k}") for k in range(3000)]
    assert 0.30 < np.mean(kept) < 0.37
    assert kept == [is_kept(f"artist {k}") for k in range(3000)]
