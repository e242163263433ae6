"""Where live sound comes from: a file at the pace at which it is played, or a microphone."""

from pathlib import Path

import av
import numpy as np
import pytest

from deepsing.cli import sound as module
from deepsing.cli.sound import RATE_HZ, Sound, open_file_sound, open_microphone
from deepsing.local.failures import USAGE, CommandError
from tests.songs import make_song

NO_DEVICE = "pcm.default { type null }\nctl.default { type null }\n"  # an ALSA device without a card


async def collect_pieces(sound: Sound) -> list[bytes]:
    return [piece async for piece in sound.pieces()]


async def test_a_file_is_played_in_pieces_of_20_ms_up_to_its_end(tmp_path: Path) -> None:
    song = make_song(tmp_path, "one_window")
    sound = open_file_sound(str(song))
    assert sound.began_s == 0
    pieces = await collect_pieces(sound)
    assert sum(map(len, pieces)) == 2 * RATE_HZ // 2  # 0.5 s
    assert max(map(len, pieces)) == 2 * RATE_HZ // 50
    assert np.abs(np.frombuffer(b"".join(pieces), "<i2")).max() > 1_000
    assert sound.began_s > 0


async def test_a_file_is_not_given_faster_than_it_is_heard(tmp_path: Path) -> None:
    sound = open_file_sound(str(make_song(tmp_path, "stereo")), seconds=0.6)
    heard_s = 0.0
    async for piece in sound.pieces():
        heard_s += len(piece) / 2 / RATE_HZ
        assert module.time.monotonic() - sound.began_s >= heard_s - 1e-6
    assert heard_s == pytest.approx(0.6)


async def test_a_file_that_cannot_be_decoded_is_a_mistake_in_what_was_asked_for(tmp_path: Path) -> None:
    song = tmp_path / "noise.mp3"
    song.write_bytes(bytes(range(256)) * 12)
    with pytest.raises(CommandError, match="format") as caught:
        await collect_pieces(open_file_sound(str(song)))
    assert caught.value.status == USAGE


def test_a_file_that_is_not_there_is_told_before_anything_starts() -> None:
    with pytest.raises(FileNotFoundError):
        open_file_sound("/nowhere/song.mp3")


def test_a_machine_without_a_sound_card_is_told_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALSA_CONFIG_DIR", raising=False)
    monkeypatch.setattr(module, "CARDS", Path("/nowhere"))
    with pytest.raises(CommandError, match=r"no sound card.*play a file: deepsing live song\.mp3") as caught:
        open_microphone(capture="alsa")
    assert caught.value.status == USAGE


def test_a_microphone_that_does_not_open_is_named() -> None:
    with pytest.raises(CommandError, match="lavfi 'no-such-source'"):
        open_microphone("no-such-source", capture="lavfi")


async def test_what_is_captured_becomes_one_channel_of_16_bits() -> None:
    sound = open_microphone("sine=frequency=440:sample_rate=44100", 0.5, capture="lavfi")
    samples = np.frombuffer(b"".join(await collect_pieces(sound)), "<i2")
    assert samples.size == RATE_HZ // 2
    crossings = np.count_nonzero(np.diff((samples > 0).astype(int)) > 0)
    assert crossings == pytest.approx(220, abs=2)  # 440 Hz for half a second


@pytest.mark.skipif("alsa" not in av.formats_available, reason="this PyAV has no ALSA")
async def test_alsa_is_heard_where_it_is_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "alsa.conf").write_text(NO_DEVICE, encoding="ascii")
    monkeypatch.setenv("ALSA_CONFIG_DIR", str(tmp_path))
    pieces = await collect_pieces(open_microphone(seconds=0.5, capture="alsa"))
    assert sum(map(len, pieces)) == 2 * RATE_HZ // 2
