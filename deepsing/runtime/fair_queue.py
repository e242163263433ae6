"""A bounded queue of weighted jobs: live ones first, an eighth for the others, equal shares for sessions, deadlines.

Source: start-time fair queueing (Goyal, Vin & Cheng 1996), here between the sessions of each priority.
"""

from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

__all__ = ["FairQueue", "QueueFull", "Ticket"]

Job = TypeVar("Job")
OFFLINE_SHARE = 1 / 8  # of the served weight that offline jobs get while jobs of both priorities wait


class QueueFull(Exception):
    """As many jobs wait as are allowed, in total or of this session; try again later."""


@dataclass(eq=False)
class Ticket(Generic[Job]):
    """A job that waits.

    Args:
        job: passed through.
        weight: what it counts in a batch and in its session's share, >= 1.
        session: sessions get equal shares; "" is one that may fill the queue.
        live: whether it has the priority that goes first.
        deadline_s: when its result is no longer of use, on the caller's clock.
        arrived_s: when it came, on the same clock.
        turn: its virtual start time among the sessions of its priority; set by the queue.
    """

    job: Job
    weight: int = 1
    session: str = ""
    live: bool = False
    deadline_s: float = inf
    arrived_s: float = 0.0
    turn: float = 0.0

    def is_late(self, now_s: float, pace_s: float) -> bool:
        """Whether it could not be ready in time even if it began now, at `pace_s` seconds a unit of weight."""
        return now_s + self.weight * pace_s > self.deadline_s


class FairQueue(Generic[Job]):
    """Tickets in the order in which they are to be served.

    A batch holds jobs of one priority: a live job does not wait for offline ones in its own batch. While both wait,
    live jobs go first until OFFLINE_SHARE of the weight is owed to offline jobs, which are then served for that weight.

    Args:
        most: how many tickets may wait; one session may have half of them.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: list[Ticket[Job]] = []  # by priority and turn
        self._turns = {True: 0.0, False: 0.0}  # by priority: the turn served last
        self._ends: dict[tuple[bool, str], float] = {}  # by priority and session: the turn after its last job
        self._owed = 0.0  # weight that offline jobs still have to be given

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def weight(self) -> int:
        """The weight that could go into one batch: that of the priority of which more waits."""
        return max(sum(t.weight for t in self._waiting if t.live is live) for live in (True, False))

    @property
    def oldest_s(self) -> float:
        """When the ticket that has waited longest arrived."""
        return min(ticket.arrived_s for ticket in self._waiting)

    def put(self, ticket: Ticket[Job]) -> None:
        """Adds a ticket; raises QueueFull if there is no room for it."""
        held = sum(waiting.session == ticket.session for waiting in self._waiting)
        if len(self._waiting) >= self._most:
            raise QueueFull(f"{len(self._waiting)} jobs wait, the most there may be")
        if ticket.session and held >= max(1, self._most // 2):
            raise QueueFull(f"{held} jobs of this session wait, the most there may be")
        key = (ticket.live, ticket.session)
        ticket.turn = max(self._turns[ticket.live], self._ends.get(key, 0.0))
        self._ends[key] = ticket.turn + ticket.weight
        self._waiting.append(ticket)
        self._waiting.sort(key=lambda waiting: (not waiting.live, waiting.turn))  # stable: else first come

    def drop(self, ticket: Ticket[Job]) -> None:
        """Removes a ticket, if it still waits."""
        if ticket in self._waiting:
            self._waiting.remove(ticket)

    def drop_late(self, now_s: float, pace_s: float) -> list[Ticket[Job]]:
        """Removes and returns the tickets whose deadline can no longer be met."""
        late = [ticket for ticket in self._waiting if ticket.is_late(now_s, pace_s)]
        self._waiting = [ticket for ticket in self._waiting if ticket not in late]
        return late

    def take(self, most_weight: int) -> list[Ticket[Job]]:
        """Removes and returns the next batch: jobs of one priority up to `most_weight`, or one heavier job."""
        offline = [ticket for ticket in self._waiting if not ticket.live]
        live = self._waiting[: len(self._waiting) - len(offline)]
        if not offline:
            self._owed = 0.0
        pays_back = bool(live and offline) and self._owed >= offline[0].weight
        chosen = offline if pays_back or not live else live
        most_weight = min(most_weight, int(self._owed)) if pays_back else most_weight
        batch: list[Ticket[Job]] = []
        weight = 0
        for ticket in chosen:
            if batch and weight + ticket.weight > most_weight:
                break
            batch.append(ticket)
            weight += ticket.weight
        self._serve(batch, weight, contended=bool(live and offline))
        return batch

    def _serve(self, batch: list[Ticket[Job]], weight: int, *, contended: bool) -> None:
        for ticket in batch:
            self._waiting.remove(ticket)
            self._turns[ticket.live] = ticket.turn
        self._ends = {key: end for key, end in self._ends.items() if end > self._turns[key[0]]}
        if contended:
            self._owed += -weight if not batch[0].live else weight * OFFLINE_SHARE / (1 - OFFLINE_SHARE)
