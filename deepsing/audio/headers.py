"""Reads the length that a file's header states; a song that ends earlier was cut off."""

import struct

import av

__all__ = ["read_duration_s"]

# Containers whose header holds the length; elsewhere FFmpeg guesses from the bit rate or looks at the last page.
TIMED_HEADERS = frozenset(
    {"flac", "mov,mp4,m4a,3gp,3g2,mj2", "aiff", "caf", "tta", "ape", "wv", "matroska,webm", "asf"}
)
PLACEHOLDER_BYTES = 0x7FFFF000  # writers that cannot seek back leave this or more (or 0) as the size of a wav
PCM_TAGS = frozenset({1, 3, 6, 7, 0xFFFE})  # integer, float, A-law, mu-law, extensible
XING_BYTES = 144
MPEG1_RATES_FROM_HZ = 32_000  # slower mp3 is MPEG-2, whose frames have half the samples


def read_duration_s(container: av.container.InputContainer, stream: av.AudioStream, head: bytes) -> float | None:
    """Reads the length from the header.

    Args:
        container: the open file.
        stream: its audio.
        head: the file's first bytes (as many as were kept) after its ID3 tag, if any.

    Returns:
        Seconds, or None where the header does not say.
    """
    name = container.format.name
    if name == "wav":
        return _riff_duration_s(head)
    if name == "mp3":
        return _mp3_duration_s(head, stream.codec_context.sample_rate)
    if name not in TIMED_HEADERS:
        return None
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / av.time_base
    return None


def _riff_duration_s(head: bytes) -> float | None:
    """Divides data size by byte rate of a RIFF/WAVE header; None for placeholders and foreign layouts."""
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    position, bytes_per_s = 12, 0
    while position + 8 <= len(head):
        name, size = struct.unpack_from("<4sI", head, position)
        if name == b"fmt " and position + 24 <= len(head):
            tag, _, rate_hz, byte_rate, block_bytes = struct.unpack_from("<HHIIH", head, position + 8)
            bytes_per_s = rate_hz * block_bytes if tag in PCM_TAGS else byte_rate
        if name == b"data":
            known = 0 < size < PLACEHOLDER_BYTES and bytes_per_s > 0
            return size / bytes_per_s if known else None
        position += 8 + size + size % 2
    return None


def _mp3_duration_s(head: bytes, sample_rate_hz: int) -> float | None:
    """Reads the frame count, and the encoder's delay and padding, of the Xing or Info tag in the first frame."""
    first_frame = head[:4096]
    at = max(first_frame.find(b"Xing"), first_frame.find(b"Info"))
    if at < 0 or len(first_frame) < at + XING_BYTES or sample_rate_hz <= 0:
        return None
    flags, frame_count = struct.unpack_from(">II", first_frame, at + 4)
    if not flags & 1:
        return None
    samples: int = frame_count * (1152 if sample_rate_hz >= MPEG1_RATES_FROM_HZ else 576)
    if first_frame[at + 120 : at + 124] in (b"LAME", b"Lavf", b"Lavc"):
        delay_and_padding = int.from_bytes(first_frame[at + 141 : at + XING_BYTES], "big")
        samples -= (delay_and_padding >> 12) + (delay_and_padding & 0xFFF)
    return max(samples, 0) / sample_rate_hz
