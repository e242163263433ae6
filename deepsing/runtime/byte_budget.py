"""A number of bytes that all calls of a process share: of disk, or of memory. More are refused, not waited for."""

from collections.abc import Callable
from typing import Self

from deepsing.rpc.errors import ResourceExhausted, ServiceError
from deepsing.v1 import error_reason_pb2 as reasons

__all__ = ["ByteBudget", "ByteShare", "build_refusal"]


class ByteBudget:
    """Bytes that are shared.

    Args:
        limit: of all; a named owner may have half of them.
        refuse: builds the error for who asks for more, of a sentence such as "8192 MiB of 8192 MiB are in use"; see
            build_refusal.
        make_room: called with a number of missing bytes before anybody is refused; frees some if it can.
    """

    def __init__(
        self,
        limit: int,
        refuse: Callable[[str], ServiceError],
        make_room: Callable[[int], None] = lambda missing: None,
    ) -> None:
        self.limit, self._refuse, self.make_room = limit, refuse, make_room
        self.used = 0
        self._by_owner: dict[str, int] = {}

    @property
    def free(self) -> int:
        """Bytes that nobody has."""
        return self.limit - self.used

    def open_share(self, owner: str = "", *, makes_room: bool = True) -> "ByteShare":
        """An empty share of an owner; close it at the end.

        Args:
            owner: "" is one without a name, who may have all.
            makes_room: False for what is freed itself when others need room.
        """
        return ByteShare(self, owner, makes_room)

    def move(self, owner: str, change: int, *, makes_room: bool) -> None:
        """Takes bytes for an owner, or gives them back. Raises the error of `refuse` where there are not as many."""
        own = self._by_owner.get(owner, 0) + change
        if change > 0:
            if owner and own > self.limit // 2:
                raise self._refuse(f"your calls would use {_format_size(own)} of {_format_size(self.limit)}")
            if makes_room and self.used + change > self.limit:
                self.make_room(self.used + change - self.limit)
            if self.used + change > self.limit:
                raise self._refuse(f"{_format_size(self.used)} of {_format_size(self.limit)} are in use")
            own = self._by_owner.get(owner, 0) + change
        self.used += change
        self._by_owner[owner] = own
        if not own:
            del self._by_owner[owner]


def build_refusal(
    what: str, way_out: str, reason: reasons.ErrorReason.ValueType, retry_after_s: float
) -> Callable[[str], ServiceError]:
    """What refuses bytes of a budget.

    Args:
        what: the bytes are for.
        way_out: but for trying again.
        reason: of the error.
        retry_after_s: after how long to try again, seconds.
    """

    def refuse(fault: str) -> ServiceError:
        message = f"{fault} for {what}; try again in {retry_after_s:g} s, {way_out}"
        return ResourceExhausted(message, reason=reason, retry_after_s=retry_after_s)

    return refuse


class ByteShare:
    """The bytes of one call."""

    def __init__(self, budget: ByteBudget, owner: str, makes_room: bool) -> None:
        self._budget, self._owner, self._makes_room = budget, owner, makes_room
        self.size = 0

    def resize(self, size: int) -> None:
        """Takes or gives back bytes until there are `size`. Raises the budget's error; then nothing has changed."""
        self._budget.move(self._owner, size - self.size, makes_room=self._makes_room)
        self.size = size

    def close(self) -> None:
        """Gives all back; may be repeated."""
        self.resize(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _format_size(size: int) -> str:
    return f"{size / 2**20:.4g} MiB"
