"""Tolerant streaming decode of songs; used by every service that hears, so that all agree on the sample count."""

__all__ = ["decode_blocks", "GrowingFile", "PcmSource", "SongFacts", "AudioError"]

from .decoding import decode_blocks
from .errors import AudioError
from .facts import SongFacts
from .growing_file import GrowingFile
from .pcm import PcmSource
