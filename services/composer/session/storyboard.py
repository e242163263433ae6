"""Checks a caller's storyboard against the contract, and builds messages of its keys."""

import math
from collections.abc import Iterable, Sequence

from deepsing.rpc.errors import InvalidArgument
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.story.plan import StoryboardKey

__all__ = ["build_storyboard_key", "parse_storyboard"]

MOST_KEYS, MOST_BYTES = 8192, 2**20  # of one storyboard; four hours of excited music have some 6,500
CLOSEST_US = 100_000  # from one key to the next
SHARE_DIGITS = 4  # so that shares that a manifest tells are the same when they are sent again
INVALID = reasons.ERROR_REASON_STORYBOARD_INVALID


def parse_storyboard(keys: Sequence[pb.StoryboardKey], *, live: bool) -> tuple[StoryboardKey, ...]:
    """Checks the keys of a config; raises InvalidArgument with the rule, the value and the way out.

    Whether the engine has their concepts and styles is checked in `pipeline/storyboard.py`.
    """
    if not keys:
        return ()
    if live:
        message = "a storyboard needs the whole song; leave it out for live pacing"
        raise InvalidArgument(message, reason=INVALID, field="storyboard")
    _check_length(keys)
    before_us = -CLOSEST_US
    for place, key in enumerate(keys):
        _check_time(f"storyboard[{place}]", key.time_us, before_us)
        before_us = key.time_us
    return tuple(_parse_key(f"storyboard[{place}]", key) for place, key in enumerate(keys))


def build_storyboard_key(key: StoryboardKey) -> pb.StoryboardKey:
    """The message of a key."""
    concepts = [pb.NamedWeight(name=name, weight=share) for name, share in key.concepts]
    time_us = round(key.time_s * 1e6)
    return pb.StoryboardKey(time_us=time_us, concepts=concepts, style=key.style, motion=key.motion, locked=key.locked)


def _check_length(keys: Sequence[pb.StoryboardKey]) -> None:
    reason, field = reasons.ERROR_REASON_STORYBOARD_TOO_LARGE, "storyboard"
    if len(keys) > MOST_KEYS:
        message = f"the storyboard has {len(keys)} keys; send at most {MOST_KEYS}"
        raise InvalidArgument(message, reason=reason, field=field, value=len(keys))
    size = sum(key.ByteSize() for key in keys)
    if size > MOST_BYTES:
        message = f"the storyboard has {size} bytes; send at most {MOST_BYTES}"
        raise InvalidArgument(message, reason=reason, field=field, value=size)


def _check_time(where: str, time_us: int, before_us: int) -> None:
    if time_us < 0:
        raise _refuse(where, "time_us", time_us, f"is at {time_us / 1e6:g} s; choose 0 or later")
    if time_us - before_us < CLOSEST_US:
        known = f"less than {CLOSEST_US / 1e6:g} s after the key before it at {before_us / 1e6:.10g} s"
        raise _refuse(where, "time_us", time_us, f"is at {time_us / 1e6:.10g} s, {known}; put keys in order")


def _parse_key(where: str, key: pb.StoryboardKey) -> StoryboardKey:
    motion = key.motion if key.HasField("motion") else None
    if motion is not None and not (math.isfinite(motion) and 0 <= motion <= 1):
        message, reason = f"{where} has motion {motion:g}; choose 0 to 1", reasons.ERROR_REASON_MOTION_OUT_OF_RANGE
        raise InvalidArgument(message, reason=reason, field=f"{where}.motion", value=motion)
    concepts = _parse_concepts(where, key.concepts)
    if key.locked and not concepts:
        raise _refuse(where, "concepts", 0, "is locked and has no concept; name 1 or 2, or unlock it")
    return StoryboardKey(key.time_us / 1e6, concepts, key.style, motion, key.locked)


def _parse_concepts(where: str, concepts: Iterable[pb.NamedWeight]) -> tuple[tuple[str, float], ...]:
    shares = [(one.name, one.weight) for one in concepts]
    if len(shares) > 2:
        raise _refuse(where, "concepts", len(shares), f"has {len(shares)} concepts; name 1 or 2")
    if len({name for name, _ in shares}) < len(shares):
        raise _refuse(where, "concepts", shares[0][0], f"names '{shares[0][0][:100]}' twice; name it once")
    for name, share in shares:
        if not (math.isfinite(share) and 0 <= share <= 1):
            raise _refuse(where, "concepts", share, f"gives '{name[:100]}' the share {share:g}; choose 0 to 1")
    total = sum(share for _, share in shares)
    if shares and total <= 0:
        raise _refuse(where, "concepts", 0, "gives its concepts no share; choose one above 0")
    first = round(shares[0][1] / total, SHARE_DIGITS) if shares else 0.0
    rounded = (first, round(1 - first, SHARE_DIGITS))
    return tuple((name, share) for (name, _), share in zip(shares, rounded, strict=False) if share)


def _refuse(where: str, field: str, value: object, fault: str) -> InvalidArgument:
    return InvalidArgument(f"{where} {fault}", reason=INVALID, field=f"{where}.{field}", value=value)
