"""Tolerant streaming decode of songs; used by every service that hears, so that all agree on the sample count."""

__all__ = ["decode_blocks", "GrowingFile", "PcmSource", "SongFacts", "AudioError"]

from deepsing.audio.decoding import decode_blocks
from deepsing.audio.errors import AudioError
from deepsing.audio.facts import SongFacts
from deepsing.audio.growing_file import GrowingFile
from deepsing.audio.pcm import PcmSource
