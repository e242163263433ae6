from pathlib import Path

import numpy as np
import pytest

from deepsing.audio import AudioError, decode_blocks
from tests.encoding import tone
from tests.songs import SONGS, make_song

PLAYABLE = [kind for kind, song in SONGS.items() if not song.error]
REFUSED = [kind for kind, song in SONGS.items() if song.error]


@pytest.mark.parametrize("kind", PLAYABLE)
def test_a_playable_song_has_its_true_length_and_says_what_is_odd(kind: str, tmp_path: Path) -> None:
    song = SONGS[kind]
    with decode_blocks(make_song(tmp_path, kind)) as decoding:
        blocks = list(decoding)
    facts = decoding.facts
    assert facts.duration_s == pytest.approx(song.duration_s, abs=song.tolerance_s)
    assert {warning.kind for warning in facts.warnings} == song.warnings
    assert facts.channel_count == song.channel_count
    assert sum(len(block) for block in blocks) == facts.sample_count
    assert all(block.dtype == np.float32 and block.ndim == 1 for block in blocks)
    assert all(len(block) <= facts.sample_rate_hz for block in blocks)
    assert np.isfinite(np.concatenate(blocks)).all()


@pytest.mark.parametrize("kind", REFUSED)
def test_a_song_that_cannot_be_used_is_refused_with_a_reason(kind: str, tmp_path: Path) -> None:
    with pytest.raises(AudioError) as caught:
        list(decode_blocks(make_song(tmp_path, kind)))
    assert caught.value.kind == SONGS[kind].error
    assert "send" in caught.value.message


@pytest.mark.parametrize("kind", ["cbr_mp3", "vbr_mp3", "m4a", "opus", "flac", "s24_wav", "alac", "u8_wav", "a_law_8k"])
def test_what_is_heard_is_what_was_written(kind: str, tmp_path: Path) -> None:
    with decode_blocks(make_song(tmp_path, kind)) as decoding:
        heard = np.concatenate(list(decoding))
    facts = decoding.facts
    written = tone(2.0, facts.sample_rate_hz, facts.channel_count).mean(axis=0)
    assert np.corrcoef(heard, written)[0, 1] > 0.99
    assert np.sqrt(np.mean((heard - written) ** 2)) < 0.02


def test_warnings_give_the_measured_value(tmp_path: Path) -> None:
    def message(kind: str) -> str:
        decoding = decode_blocks(make_song(tmp_path, kind))
        list(decoding)
        (warning,) = decoding.facts.warnings
        return warning.message

    assert message("truncated_wav") == "The header says 2.0 s, but the song ends after 1.0 s."
    assert message("silence") == "Nothing is louder than -60 dBFS (loudest: digital silence)."
    assert message("nan_and_inf") == "4 samples were no finite numbers and were replaced by 0."
    assert message("anti_phase").startswith("The channels cancel each other")
    assert "22050 Hz (2 ch), 44100 Hz (2 ch)" in message("chained_ogg")


def test_the_film_without_sound_says_what_is_in_it(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"only video \(mpeg4\)"):
        list(decode_blocks(make_song(tmp_path, "silent_film")))
