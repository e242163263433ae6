"""Keeps what a server said when it ends a call while its caller still writes."""

from typing import Any

__all__ = ["keep_status"]


def keep_status(call: Any) -> None:
    """Lets a streaming call of grpc.aio end with the server's status instead of INTERNAL.

    A server may refuse, or finish, before it has read all that was sent. The next write then fails, and grpc.aio
    puts "Internal error from Core" in the place of the status that the server did send (grpc/grpc#36066, still so
    in 1.85), so that a caller would never learn why its song was refused. Here the failed write is let go, and the
    call ends as the server said.

    Args:
        call: what a stub returned for a stream of requests, before it is awaited or read. Where this grpc keeps its
            call elsewhere, nothing changes.
    """
    core = getattr(call, "_cython_call", None)
    if core is not None:
        call._cython_call = _IgnoresWriteErrors(core)


class _IgnoresWriteErrors:
    def __init__(self, core: Any) -> None:
        self._core = core

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    def set_internal_error(self, error: str) -> None:
        """Leaves the status to the server."""
