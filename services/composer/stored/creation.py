"""From an upload to a stored story: what it is told by, what makes two requests the same, and where that is written."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

from deepsing.audio import AudioError, decode_blocks
from deepsing.runtime.errors import InvalidInput
from deepsing.v1 import audio_sentiment_pb2, sentiment_pb2
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.files import NAMES, source_of
from services.composer.messages import refusal_of
from services.composer.painting import Palette
from services.composer.peers import Peers
from services.composer.plan import StoryPlan
from services.composer.stored.lease import Shelf
from services.composer.stored.record import Record
from services.composer.stored.refusals import key_reused
from services.composer.stored.store import Conflict, Missing

__all__ = ["ClaimedKey", "content_digest", "key_of", "stored_config", "written"]

KEY = re.compile(r"[A-Za-z0-9_-]{0,64}")
SILENCE_HZ = 8000


def stored_config(config: pb.StoryConfig) -> pb.StoryConfig:
    """A caller's config without what a stored story has no use for, and with all files."""
    told = pb.StoryConfig()
    told.CopyFrom(config)
    for field in ("jpeg_quality", "initial_credit", "resume", "send_achieved"):
        told.ClearField(field)
    told.image_format = sentiment_pb2.IMAGE_FORMAT_NONE
    told.files[:] = list(NAMES)
    return told


def key_of(text: str) -> str:
    """A caller's idempotency key, checked."""
    if not KEY.fullmatch(text):
        message = f"idempotency_key has {len(text)} characters; send at most 64 of A-Z, a-z, 0-9, - and _"
        reason = reasons.ERROR_REASON_IDEMPOTENCY_KEY_INVALID
        raise InvalidInput(message, reason=reason, field="idempotency_key", value=text)
    return text


def pcm_digest(song: Path, plan: StoryPlan) -> str:
    """SHA-256 of a song's decoded samples, their rate and channels; blocks. Raises InvalidInput."""
    hashed = hashlib.sha256()
    try:
        with song.open("rb") as file, decode_blocks(source_of(file, plan.audio_format), mono=False) as decoding:
            for block in decoding:
                hashed.update(block.tobytes())
            hashed.update(f"{decoding.sample_rate_hz} {block.shape[0]}".encode())
            duration_us = decoding.facts.duration_us
    except AudioError as error:
        raise refusal_of(error) from error
    if plan.start_us >= duration_us:
        message = f"the part starts at {plan.start_us / 1e6:g} s but the song ends at {duration_us / 1e6:.3f} s"
        reason = reasons.ERROR_REASON_PART_OUT_OF_RANGE
        raise InvalidInput(f"{message}; start earlier", reason=reason, field="start_us", value=plan.start_us)
    return hashed.hexdigest()


async def content_digest(config: pb.StoryConfig, plan: StoryPlan, pcm: str, peers: Peers) -> str:
    """Hash of all that decides a story: its samples, its config (but for how they are encoded), and all models."""
    palette = await Palette.of(plan, peers)
    deciding = pb.StoryConfig()
    deciding.CopyFrom(config)
    deciding.ClearField("audio_format")
    models = sorted({**palette.digests, "audio_sentiment": await _hearing_digest(peers)}.items())
    return hashlib.sha256(deciding.SerializeToString(deterministic=True) + f"{pcm} {models}".encode()).hexdigest()


async def _hearing_digest(peers: Peers) -> str:
    """Digest of audio_sentiment's model, which it tells at the end of a song: here half a second of silence."""
    form = sentiment_pb2.AudioFormat(
        sample_format=sentiment_pb2.SAMPLE_FORMAT_S16LE, sample_rate_hz=SILENCE_HZ, channel_count=1
    )

    async def silence() -> AsyncIterator[audio_sentiment_pb2.AnalyzeRequest]:
        yield audio_sentiment_pb2.AnalyzeRequest(config=audio_sentiment_pb2.AnalyzeConfig(audio_format=form))
        yield audio_sentiment_pb2.AnalyzeRequest(audio_chunk=bytes(SILENCE_HZ))

    digest = ""
    async with aclosing(peers.analyze(silence)) as responses:
        async for response in responses:
            digest = response.summary.model_digest or digest
    return digest


async def written(shelf: Shelf, wanted: Record, song: Path) -> tuple[Record, bool]:
    """Puts a story into the store, or finds it there.

    Args:
        shelf: of the stories.
        wanted: as a new story has it.
        song: file to store with it.

    Returns:
        The story as it stands, and whether it was there; one that failed, was cancelled or has expired is queued anew.
    """
    while True:
        there: tuple[Record, str] | None = None
        with suppress(Missing):
            there = await shelf.record(wanted.name)
        if there is not None and there[0].state not in ("FAILED", "CANCELLED", "EXPIRED"):
            return there[0], True
        await shelf.do(shelf.store.put, wanted.song, song)
        with suppress(Conflict):  # somebody was faster: look again
            if there is None:
                await shelf.do(shelf.store.create, wanted.name, wanted.to_bytes())
                return wanted, False
            anew: dict[str, Any] = {"state": "QUEUED", "error": None, "holder": "", "losses": 0, "ended_s": 0.0}
            for name in ("created_s", "expires_s", "song", "config"):
                anew[name] = getattr(wanted, name)
            record, version = there
            return await shelf.change(record, version, **anew), False


class ClaimedKey:
    """An idempotency key of a caller, and the request that it came with.

    Args:
        owner: tag of the caller.
        key: as the caller chose it; empty is none, and nothing is done.
        request: hash of all that was sent with it.
    """

    def __init__(self, shelf: Shelf, owner: str, key: str, request: str) -> None:
        self.shelf, self.key, self.request = shelf, key, request
        self.name = f"keys/{owner}/{hashlib.sha256(key.encode()).hexdigest()[:32]}"

    async def story_id(self) -> str:
        """The story that this request made before, or nothing. Raises IDEMPOTENCY_KEY_REUSED."""
        if not self.key:
            return ""
        try:
            claimed = json.loads((await self.shelf.do(self.shelf.store.read, self.name)).content)
        except Missing:
            return ""
        if claimed["request"] != self.request:
            raise key_reused(self.key)
        return str(claimed["story_id"])

    async def claim(self, story_id: str) -> None:
        """Ties the key to a story. Raises IDEMPOTENCY_KEY_REUSED where another request was faster."""
        if not self.key:
            return
        content = json.dumps({"request": self.request, "story_id": story_id, "created_s": time.time()}).encode()
        try:
            await self.shelf.do(self.shelf.store.create, self.name, content)
        except Conflict:
            await self.story_id()
