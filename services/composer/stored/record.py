"""The record of a stored story, the only authority on it: its other objects are valid once the record names them."""

import base64
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from google.protobuf.message import DecodeError

from deepsing.v1 import composer_pb2 as pb

__all__ = ["File", "Record", "Segment", "owner_tag"]

RETIRED = {"holder"}  # fields of earlier versions
KINDS: dict[Any, Any] = {str: str, int: int, float: (int, float)}  # what JSON gives for a field of each type
END_STATES = ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")


@dataclass(frozen=True)
class Segment:
    """A stored segment: name of its object, number of its first frame, number of frames, SHA-256 ("": not known)."""

    name: str
    first: int
    count: int
    digest: str = ""


@dataclass(frozen=True)
class File:
    """A finished file: name of its object, StoryFileKind as a number, size in bytes, SHA-256."""

    name: str
    kind: int
    byte_count: int
    digest: str


Part = TypeVar("Part", Segment, File)


@dataclass(frozen=True)
class Record:
    """The state of a story. Times are seconds since 1970.

    Attributes:
        owner: `owner_tag` of the caller.
        state: a name of the contract's StoryState.
        config: its StoryConfig, serialised.
        song: name of the song's object.
        expires_s: about when it is deleted, for callers; the store's own clock decides.
        epoch: grows by 1 whenever a composer takes the story; part of the names of the objects that it writes.
        losses: how many composers went silent over it, one after another, since a segment was last stored.
        revision: grows by 1 with every write, so that no two versions have the same bytes.
        begun_with: digest of the config and models that `segments` were made with.
        frames_per_s: measured speed of the current holder, 0 if not known.
        error: (gRPC code, reason, message) of a failed story, else None.
        unknown: fields that a later version of this program wrote; they are written again as they came.
    """

    story_id: str
    owner: str
    state: str
    config: bytes
    song: str
    created_s: float
    expires_s: float
    ended_s: float = 0.0
    epoch: int = 0
    losses: int = 0
    revision: int = 0
    begun_with: str = ""
    frames_total: int = 0
    frames_per_s: float = 0.0
    segments: tuple[Segment, ...] = ()
    files: tuple[File, ...] = ()
    error: tuple[int, str, str] | None = None
    unknown: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the record's object."""
        return f"records/{self.owner}/{self.story_id}"

    @property
    def folder(self) -> str:
        """Prefix of the names of all the story's other objects."""
        return f"stories/{self.owner}/{self.story_id}/"

    @property
    def ended(self) -> bool:
        """Whether its state is final."""
        return self.state in END_STATES

    @property
    def frames_done(self) -> int:
        """Number of stored frames."""
        return sum(segment.count for segment in self.segments)

    def with_changes(self, **changes: Any) -> "Record":
        """The record's next version, with some fields changed."""
        return dataclasses.replace(self, revision=self.revision + 1, **changes)

    def to_bytes(self) -> bytes:
        """Serialises it as JSON."""
        fields = dataclasses.asdict(self) | {"config": base64.b64encode(self.config).decode()}
        return json.dumps(fields.pop("unknown") | fields, indent=1).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Record":
        """Parses what to_bytes() of this, an earlier or a later version of the program wrote. Raises ValueError."""
        try:
            content_fields = {**json.loads(content)}
            known = {one.name for one in dataclasses.fields(cls)} - {"unknown"}
            fields = {name: value for name, value in content_fields.items() if name in known}
            for one in dataclasses.fields(cls):
                if one.type in KINDS and one.name in fields and not isinstance(fields[one.name], KINDS[one.type]):
                    raise ValueError(f"{one.name} is {fields[one.name]!r:.40}")
            fields["config"] = base64.b64decode(fields["config"], validate=True)
            pb.StoryConfig.FromString(fields["config"])
            fields["segments"] = tuple(_pick(Segment, one) for one in fields.get("segments", ()))
            fields["files"] = tuple(_pick(File, one) for one in fields.get("files", ()))
            fields["error"] = tuple(fields["error"]) if fields.get("error") else None
            rest = {name: value for name, value in content_fields.items() if name not in known | RETIRED}
            return cls(**fields, unknown=rest)
        except (TypeError, KeyError, AttributeError, RecursionError, DecodeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error


def _pick(kind: type[Part], fields: dict[str, Any]) -> Part:
    """A segment or file, without fields that a later version of this program wrote."""
    return kind(**{one.name: fields[one.name] for one in dataclasses.fields(kind) if one.name in fields})


def owner_tag(caller: str) -> str:
    """A caller's part in the names of its objects: a hash of its account name, or "all" without authentication."""
    return hashlib.sha256(caller.encode()).hexdigest()[:16] if caller else "all"
