"""The errors that a client raises.

    DeepsingError
    ├── Refused          the request breaks a rule: change it; sending it again does not help
    │   └── InvalidSong  the song breaks a rule (empty, too short, without sound, not readable, …)
    ├── Unavailable      the composer or a service behind it is unreachable, full or too slow: try again later
    └── Failed           the composer failed, or its response breaks the contract

A file that cannot be opened or written raises Python's own OSError.
"""

from collections.abc import Mapping

import grpc

__all__ = ["DeepsingError", "Refused", "InvalidSong", "Unavailable", "Failed"]


class DeepsingError(Exception):
    """Any failure of a story.

    Args:
        message: the rule, the value received and what to do, for a person.
        code: canonical gRPC code, also if the error was found before anything was sent.
        reason: name of an `ErrorReason` without its prefix, e.g. "SONG_TOO_SHORT"; empty if there is none.
        metadata: facts about the failure, e.g. {"field": "frame_rate", "value": "240"}.
        retry_after_s: after how long the server says to try again; None if it does not say.
    """

    default_code = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s


class Refused(DeepsingError):
    """The request breaks a rule of the contract."""

    default_code = grpc.StatusCode.INVALID_ARGUMENT


class InvalidSong(Refused):
    """The song breaks a rule of the contract; `reason` begins with SONG_."""


class Unavailable(DeepsingError):
    """It could not be done now, or not in the time allowed."""

    default_code = grpc.StatusCode.UNAVAILABLE


class Failed(DeepsingError):
    """The composer failed, or its response is not what the contract promises."""

    default_code = grpc.StatusCode.INTERNAL
