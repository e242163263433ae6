"""The errors of the RPCs for stored stories."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from deepsing.rpc.errors import FailedPrecondition, InvalidArgument, ResourceExhausted, ServiceError, Unavailable
from deepsing.rpc.machine import convert_machine_error
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.stored.queue import QueueError
from services.composer.stored.store import StoreError

__all__ = [
    "key_reused_error",
    "page_invalid_error",
    "queue_full_error",
    "store_errors",
    "stories_off_error",
    "story_not_found_error",
]

QUEUE_S = 60.0  # retry delay given to callers with too many stories; a story takes minutes
RETRY_AFTER_S = 5.0
logger = logging.getLogger(__name__)


class _AlreadyExists(ServiceError):
    """The request conflicts with an earlier one."""

    code = grpc.StatusCode.ALREADY_EXISTS


class _NotFound(ServiceError):
    """The caller has no story with this id."""

    code = grpc.StatusCode.NOT_FOUND


def key_reused_error(key: str) -> ServiceError:
    """The idempotency key came with another request before."""
    message = "idempotency_key came with another song or config before; send a new key"
    return _AlreadyExists(
        message, reason=reasons.ERROR_REASON_IDEMPOTENCY_KEY_REUSED, field="idempotency_key", value=key
    )


def story_not_found_error(story_id: str) -> ServiceError:
    """The caller has no story with this id."""
    message = f"there is no story {story_id[:40]!r}; see ListStories"
    return _NotFound(message, reason=reasons.ERROR_REASON_STORY_NOT_FOUND, field="story_id", value=story_id)


def stories_off_error() -> ServiceError:
    """No store is configured."""
    message = "this composer keeps no stories; set DEEPSING_COMPOSER_STORE"
    return FailedPrecondition(message, reason=reasons.ERROR_REASON_STORIES_OFF)


def page_invalid_error(message: str, field: str, value: object) -> ServiceError:
    """The page size or page token of a list request is invalid."""
    return InvalidArgument(message, reason=reasons.ERROR_REASON_PAGE_INVALID, field=field, value=value)


def queue_full_error(count: int) -> ServiceError:
    """The caller has as many stories that have not ended as it may have."""
    message = f"{count} of your stories have not ended, the most there may be; try again in {QUEUE_S:g} s"
    return ResourceExhausted(message, reason=reasons.ERROR_REASON_QUEUE_FULL, retry_after_s=QUEUE_S)


@contextmanager
def store_errors() -> Iterator[None]:
    """Turns a StoreError or QueueError into an error for callers, and logs it.

    Raises:
        ServiceError: DISK_FULL or the like if this machine's disk is the cause, else DEPENDENCY_UNAVAILABLE.
    """
    try:
        yield
    except (StoreError, QueueError) as error:
        part = "store" if isinstance(error, StoreError) else "queue"
        logger.error("the %s failed: %s", part, error)
        if error.__cause__ and (refusal := convert_machine_error(error.__cause__, f"the {part} of stories")):
            raise refusal from error
        message = f"the {part} of stories does not answer; try again in {RETRY_AFTER_S:g} s"
        reason = reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE
        raise Unavailable(message, reason=reason, retry_after_s=RETRY_AFTER_S, service=part) from error
