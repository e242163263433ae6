"""What callers of stored stories are refused with."""

from __future__ import annotations

import grpc

from deepsing.runtime.errors import NotReady, ServiceError, Unmet
from deepsing.v1 import error_reason_pb2 as reasons

__all__ = ["key_reused", "stories_off", "store_away", "story_unknown"]

RETRY_AFTER_S = 5.0


class _Taken(ServiceError):
    """There is something under this name already."""

    code = grpc.StatusCode.ALREADY_EXISTS


class _Unknown(ServiceError):
    """There is nothing under this name."""

    code = grpc.StatusCode.NOT_FOUND


def key_reused(key: str) -> ServiceError:
    """Another request came with this idempotency key before."""
    message = "idempotency_key came with another song or config before; send a new key"
    return _Taken(message, reason=reasons.ERROR_REASON_IDEMPOTENCY_KEY_REUSED, field="idempotency_key", value=key)


def story_unknown(story_id: str) -> ServiceError:
    """The caller has no such story."""
    message = f"there is no story {story_id[:40]!r}; see ListStories"
    return _Unknown(message, reason=reasons.ERROR_REASON_STORY_NOT_FOUND, field="story_id", value=story_id)


def stories_off() -> ServiceError:
    """This composer keeps no stories."""
    message = "this composer keeps no stories; set DEEPSING_COMPOSER_STORE"
    return Unmet(message, reason=reasons.ERROR_REASON_STORIES_OFF)


def store_away(error: Exception) -> ServiceError:
    """The store does not answer."""
    message = f"the store of stories does not answer; try again in {RETRY_AFTER_S:g} s"
    reason = reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE
    return NotReady(message, reason=reason, retry_after_s=RETRY_AFTER_S, service="store")
