"""Reads from a song's header how long it is to be, in seconds or in bytes, to tell songs that were cut off.

Bytes say it for every codec: the byte rate of a header is only a hint for players, and often wrong.
"""

import struct
from dataclasses import dataclass

import av

from deepsing.audio.spans import Span

__all__ = ["PromisedLength", "read_duration_s"]

# Containers whose header holds the seconds; elsewhere FFmpeg guesses from the size of the file, or asks the last page.
TIMED_HEADERS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flac", "aiff", "tta", "ape", "wv", "dsf"})
TIMED_HEADERS |= {"mpc", "mpc8", "tak", "osq", "qoa"}
MISSING_S, MISSING_SHARE = 0.5, 0.02  # a header may promise so much too much before we call the song cut
LONGEST_S = 24 * 3600.0  # what a header says beyond is no length, but a placeholder or damage
FIRST_FRAME_BYTES = 4096
XING_BYTES, VBRI_BYTES = 144, 18
MPEG1_RATES_FROM_HZ = 32_000  # slower mp3 is MPEG-2, whose frames have half the samples


@dataclass(frozen=True)
class PromisedLength:
    """What a header says.

    Attributes:
        duration_s: seconds of sound, None where it does not say.
        span: where the sound lies in the file, bytes, from and to; None where it does not say.
    """

    duration_s: float | None = None
    span: Span | None = None

    def find_promised_s(self, decoded_s: float, file_bytes: int) -> float | None:
        """Returns how long the song is to be, seconds, where the file clearly has less; else None.

        Where the header says both seconds and bytes, they must agree on that.

        Args:
            decoded_s: what was decoded of it.
            file_bytes: how long the file is.
        """
        by_bytes_s = None
        if self.span is not None:
            begin, end = self.span
            by_bytes_s = decoded_s * max((end - begin) / max(file_bytes - begin, 1), 1.0)
            if by_bytes_s - decoded_s < MISSING_S:
                return None
        if self.duration_s is None or not 0 <= self.duration_s <= LONGEST_S:
            return by_bytes_s
        is_missing = self.duration_s - decoded_s >= max(MISSING_S, MISSING_SHARE * decoded_s)
        return self.duration_s if is_missing else None


def read_duration_s(container: av.container.InputContainer, stream: av.AudioStream, head: bytes) -> float | None:
    """Reads the seconds that the header says; None where it does not say.

    Args:
        container: the open file.
        stream: its audio.
        head: the file's first bytes (as many as were kept) after its ID3 tags, if any.
    """
    name = container.format.name
    if name == "mp3":
        return _mp3_duration_s(head[:FIRST_FRAME_BYTES], stream.codec_context.sample_rate)
    if name not in TIMED_HEADERS:
        return None
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / av.time_base
    return None


def _mp3_duration_s(first_frame: bytes, sample_rate_hz: int) -> float | None:
    """Reads the frame count, and the encoder's delay and padding, of the Xing, Info or VBRI tag in the first frame."""
    if sample_rate_hz <= 0:
        return None
    samples_a_frame = 1152 if sample_rate_hz >= MPEG1_RATES_FROM_HZ else 576
    at = first_frame.find(b"VBRI")
    if 0 <= at <= len(first_frame) - VBRI_BYTES:
        (frame_count,) = struct.unpack_from(">I", first_frame, at + 14)
        return float(frame_count * samples_a_frame / sample_rate_hz)
    at = max(first_frame.find(b"Xing"), first_frame.find(b"Info"))
    if at < 0 or len(first_frame) < at + XING_BYTES:
        return None
    flags, frame_count = struct.unpack_from(">II", first_frame, at + 4)
    if not flags & 1:
        return None
    samples: int = frame_count * samples_a_frame
    if first_frame[at + 120 : at + 124] in (b"LAME", b"Lavf", b"Lavc"):
        delay_and_padding = int.from_bytes(first_frame[at + 141 : at + XING_BYTES], "big")
        samples -= (delay_and_padding >> 12) + (delay_and_padding & 0xFFF)
    return max(samples, 0) / sample_rate_hz
