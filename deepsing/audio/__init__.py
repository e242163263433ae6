"""Decodes songs as streams, and goes on after damage; all services use it, so that they agree on the sample count."""

from deepsing.audio.decoding import decode_blocks
from deepsing.audio.errors import AudioError
from deepsing.audio.facts import SongFacts
from deepsing.audio.growing_file import GrowingFile
from deepsing.audio.pcm import PcmSource

__all__ = ["decode_blocks", "GrowingFile", "PcmSource", "SongFacts", "AudioError"]
