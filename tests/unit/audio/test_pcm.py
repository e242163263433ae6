import io
import threading

import numpy as np
import pytest

from deepsing.audio import AudioError, GrowingFile, PcmSource, decode_blocks
from tests.encoding import tone


def source(data: bytes, sample_format: str = "f32le", rate_hz: int = 48_000, channels: int = 2) -> PcmSource:
    return PcmSource(
        io.BytesIO(data),
        sample_format=sample_format,  # type: ignore[arg-type]
        sample_rate_hz=rate_hz,
        channel_count=channels,
    )


def test_raw_floats_are_heard_as_they_are() -> None:
    samples = tone(1.0, 48_000)
    decoding = decode_blocks(source(samples.T.tobytes()), mono=False)
    assert np.array_equal(np.concatenate(list(decoding), axis=1), samples)
    facts = decoding.facts
    assert (facts.duration_us, facts.codec, facts.container, facts.warnings) == (1_000_000, "pcm_f32le", "", ())


def test_raw_integers_are_scaled_to_one() -> None:
    data = np.array([-32768, 0, 16384, 32767] * 8000, "<i2").tobytes()
    heard = np.concatenate(list(decode_blocks(source(data, "s16le", channels=1, rate_hz=8000))))
    assert heard[:4].tolist() == [-1.0, 0.0, 0.5, 32767 / 32768]


def test_bytes_of_an_unfinished_last_sample_are_dropped() -> None:
    decoding = decode_blocks(source(tone(1.0, 48_000).T.tobytes() + b"1234567"))
    assert sum(len(block) for block in decoding) == 48_000


def test_nan_in_raw_floats_becomes_silence_and_a_warning() -> None:
    samples = tone(1.0, 48_000)
    samples[:, 5] = np.nan
    decoding = decode_blocks(source(samples.T.tobytes()))
    assert np.concatenate(list(decoding))[5] == 0
    assert [warning.kind for warning in decoding.facts.warnings] == ["NOT_FINITE"]


def test_a_live_block_comes_as_soon_as_its_samples_do() -> None:
    with GrowingFile(live=True) as file:
        decoding = decode_blocks(PcmSource(file, sample_format="s16le", sample_rate_hz=16_000, channel_count=1))
        for _ in range(50):
            file.append(bytes(640))
            assert len(next(decoding)) == 320
        finisher = threading.Thread(target=file.finish)
        finisher.start()
        assert list(decoding) == []
        finisher.join()
        assert decoding.facts.sample_count == 16_000


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sample_format", "s24le"),
        ("sample_rate_hz", 7_999),
        ("sample_rate_hz", 192_001),
        ("channel_count", 0),
        ("channel_count", 9),
    ],
)
def test_a_wrong_description_is_refused_by_name(field: str, value: object) -> None:
    right: dict[str, object] = {"sample_format": "s16le", "sample_rate_hz": 44_100, "channel_count": 2}
    with pytest.raises(AudioError) as caught:
        PcmSource(io.BytesIO(b""), **(right | {field: value}))  # type: ignore[arg-type]
    assert (caught.value.kind, caught.value.field, caught.value.value) == ("format", field, value)


@pytest.mark.parametrize(("data", "kind"), [(b"", "empty"), (b"123", "too_short"), (bytes(48_000), "too_short")])
def test_no_or_too_few_samples_are_refused(data: bytes, kind: str) -> None:
    with pytest.raises(AudioError) as caught:
        list(decode_blocks(source(data)))
    assert caught.value.kind == kind
