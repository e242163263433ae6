import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from deepsing.audio import AudioError, decode_blocks, packets
from deepsing.audio.decoding import MAX_DURATION_S
from tests.encoding import encode, tone, wav
from tests.songs import make_song

RATE_HZ = 44_100


def decode(data: bytes, **how: object) -> np.ndarray:
    return np.concatenate(list(decode_blocks(io.BytesIO(data), **how)), axis=-1)  # type: ignore[arg-type]


def float_wav(samples: np.ndarray) -> bytes:
    return wav(samples.astype("<f4"), RATE_HZ, tag=3)


def test_mono_is_the_mean_of_the_channels_even_of_surround() -> None:
    samples = tone(1.0, channels=6)
    surround = encode(samples, RATE_HZ, "wav", "pcm_f32le")
    assert np.allclose(decode(surround), samples.mean(axis=0), atol=1e-6)


def test_all_channels_come_where_they_are_asked_for() -> None:
    samples = tone(1.0)
    assert np.array_equal(decode(float_wav(samples), mono=False), samples)


def test_floats_over_full_scale_stay_as_they_are() -> None:
    samples = tone(1.0, level=4.0)
    assert np.array_equal(decode(float_wav(samples), mono=False), samples)


@pytest.mark.parametrize(("start_s", "duration_s"), [(0.0, 0.7), (0.35, None), (1.2, 0.5), (0.123456, 1.0)])
def test_a_part_is_cut_out_exactly_to_the_sample(start_s: float, duration_s: float | None) -> None:
    samples = tone(2.0)
    start = round(start_s * RATE_HZ)
    end = None if duration_s is None else start + round(duration_s * RATE_HZ)
    part = decode(float_wav(samples), mono=False, start_s=start_s, duration_s=duration_s)
    assert np.array_equal(part, samples[:, start:end])


def test_a_part_of_an_mp3_is_the_same_part_of_the_whole(tmp_path: Path) -> None:
    song = make_song(tmp_path, "cbr_mp3").read_bytes()
    assert np.array_equal(decode(song, start_s=0.5, duration_s=1.0), decode(song)[22_050:66_150])


def test_a_part_that_was_asked_for_is_not_called_truncated() -> None:
    decoding = decode_blocks(io.BytesIO(float_wav(tone(3.0))), duration_s=1.0)
    list(decoding)
    assert decoding.facts.warnings == ()
    assert decoding.facts.duration_us == 1_000_000


def test_a_part_behind_the_end_is_too_short_and_says_where_it_began() -> None:
    with pytest.raises(AudioError, match="from 5 s on") as caught:
        decode(float_wav(tone(1.0)), start_s=5.0)
    assert (caught.value.kind, caught.value.value) == ("too_short", 0.0)


@pytest.mark.parametrize("to_hz", [8_000, 16_000, 22_050, 48_000, 96_000])
def test_another_rate_keeps_the_length_and_the_sound(to_hz: int) -> None:
    samples = tone(2.0, channels=1)
    with decode_blocks(io.BytesIO(float_wav(samples)), sample_rate_hz=to_hz) as decoding:
        resampled = np.concatenate(list(decoding))
    assert len(resampled) == 2 * to_hz
    assert (decoding.sample_rate_hz, decoding.facts.sample_rate_hz) == (to_hz, RATE_HZ)
    assert decoding.facts.sample_count == 2 * RATE_HZ
    inner = slice(to_hz // 10, -to_hz // 10)  # the filter rings at both ends
    assert np.abs(resampled - tone(2.0, to_hz, 1)[0])[inner].max() < 1e-3


@pytest.mark.parametrize(("name", "value"), [("start_s", -1.0), ("start_s", float("nan")), ("duration_s", 0.0)])
def test_parameters_out_of_range_are_named(name: str, value: float) -> None:
    with pytest.raises(AudioError) as caught:
        decode_blocks(io.BytesIO(b""), **{name: value})  # type: ignore[arg-type]
    assert (caught.value.kind, caught.value.field) == ("format", name)


def test_a_song_over_the_limit_is_refused_before_it_is_all_decoded() -> None:
    decoding = decode_blocks(io.BytesIO(float_wav(tone(10.0, channels=1))), max_duration_s=2.0)
    with pytest.raises(AudioError) as caught:
        list(decoding)
    assert caught.value.kind == "too_long"
    assert decoding.facts.duration_s <= 2.5
    assert MAX_DURATION_S == 4 * 3600


def test_blocks_are_gathered_to_about_half_a_second(tmp_path: Path) -> None:
    lengths = [len(block) for block in decode_blocks(make_song(tmp_path, "cbr_mp3"))]
    assert all(RATE_HZ / 2 <= length < RATE_HZ for length in lengths[:-1])


def test_decoding_stops_after_too_many_bad_packets_in_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "BAD_IN_A_ROW", 10)
    song = make_song(tmp_path, "m4a").read_bytes()
    half = len(song) // 2
    decoding = decode_blocks(io.BytesIO(song[:half] + b"\xff" * 15_000 + song[half + 15_000 :]))
    list(decoding)
    truncated = next(warning for warning in decoding.facts.warnings if warning.kind == "TRUNCATED")
    assert "the song ends after" in truncated.message
    assert decoding.facts.duration_s == pytest.approx(0.95, abs=0.15)


def test_facts_grow_while_the_song_is_decoded() -> None:
    decoding = decode_blocks(io.BytesIO(float_wav(tone(3.0))))
    counts = [decoding.facts.sample_count for _ in decoding]
    assert all(before < after for before, after in pairwise(counts))
    assert counts[-1] == 3 * RATE_HZ


def test_closing_half_way_closes_what_was_opened_by_path(tmp_path: Path) -> None:
    with decode_blocks(make_song(tmp_path, "stereo")) as decoding:
        next(decoding)
    assert list(decoding) == []


def test_an_error_of_the_file_comes_out_as_it_is() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 100_000:
                raise TimeoutError("the disk is gone")
            return super().read(size)

    with pytest.raises(TimeoutError, match="the disk is gone"):
        list(decode_blocks(Broken(float_wav(tone(3.0)))))
