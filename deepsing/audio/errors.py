"""The error of a song that cannot be decoded."""

from typing import Literal

__all__ = ["AudioError", "AudioErrorKind"]

AudioErrorKind = Literal[
    "empty",  # no bytes at all
    "no_audio",  # a media file, but without sound
    "unreadable",  # not a song, or nothing of it can be decoded
    "too_short",  # less sound than asked for
    "too_long",  # more sound than allowed
    "too_large",  # more bytes, or more samples of all channels, than allowed
    "format",  # raw samples described wrongly
]


class AudioError(Exception):
    """A song that cannot be used; the message gives the rule, the value and the way out.

    Attributes:
        kind: what is wrong, for callers that map it to a status.
        field: the parameter or property that breaks the rule, "" if none.
        value: its value, None if none.
    """

    def __init__(self, kind: AudioErrorKind, message: str, *, field: str = "", value: object = None):
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.field = field
        self.value = value
