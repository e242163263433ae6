"""What is known of a stored story. Its record alone decides; all other objects count once the record names them."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

__all__ = ["File", "Record", "Segment", "owner_tag"]

END_STATES = ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")


@dataclass(frozen=True)
class Segment:
    """Frames that are stored: the name of their object, the first frame's number, how many."""

    name: str
    first: int
    count: int


@dataclass(frozen=True)
class File:
    """A finished file: its object's name, kind as a number of the contract, bytes, SHA-256."""

    name: str
    kind: int
    byte_count: int
    digest: str


@dataclass(frozen=True)
class Record:
    """A story as it stands. Times are seconds since 1970.

    Attributes:
        owner: `owner_tag` of the caller.
        state: a name of the contract's StoryState.
        config: the StoryConfig that it is told by, serialised.
        song: name of the song's object.
        expires_s: when it is deleted.
        holder: which composer tells it, by that composer's own name for itself; empty is none.
        epoch: grows each time that a composer takes the story; a part of the names of all that it writes.
        losses: composers that fell silent over it.
        revision: grows with every write, so that no two versions have the same bytes.
        begun_with: digests of the config and models that `segments` were painted with.
        frames_per_s: of the present holder, 0 where not known.
        error: (gRPC code, reason, message), or none.
    """

    story_id: str
    owner: str
    state: str
    config: bytes
    song: str
    created_s: float
    expires_s: float
    ended_s: float = 0.0
    holder: str = ""
    epoch: int = 0
    losses: int = 0
    revision: int = 0
    begun_with: str = ""
    frames_total: int = 0
    frames_per_s: float = 0.0
    segments: tuple[Segment, ...] = ()
    files: tuple[File, ...] = ()
    error: tuple[int, str, str] | None = None

    @property
    def name(self) -> str:
        """Of the record's own object."""
        return f"records/{self.owner}/{self.story_id}"

    @property
    def folder(self) -> str:
        """What the names of all objects of the story begin with."""
        return f"stories/{self.owner}/{self.story_id}/"

    @property
    def ended(self) -> bool:
        """Whether nothing more is done about it."""
        return self.state in END_STATES

    @property
    def frames_done(self) -> int:
        """Frames that are stored."""
        return sum(segment.count for segment in self.segments)

    def with_changes(self, **changes: Any) -> Record:
        """The next version of it."""
        return dataclasses.replace(self, revision=self.revision + 1, **changes)

    def to_bytes(self) -> bytes:
        """As JSON."""
        fields = dataclasses.asdict(self) | {"config": base64.b64encode(self.config).decode()}
        return json.dumps(fields, indent=1).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Record:
        """What to_bytes() wrote."""
        fields = json.loads(content)
        fields["config"] = base64.b64decode(fields["config"])
        fields["segments"] = tuple(Segment(**segment) for segment in fields["segments"])
        fields["files"] = tuple(File(**file) for file in fields["files"])
        fields["error"] = tuple(fields["error"]) if fields["error"] else None
        return cls(**fields)


def owner_tag(caller: str) -> str:
    """How a caller's stories are marked off from others'; "all" where nobody is asked who they are."""
    return hashlib.sha256(caller.encode()).hexdigest()[:16] if caller else "all"
