"""Tells failures of the machine (a full disk, no descriptors, no memory) from faults of the program."""

import errno

from deepsing.rpc.errors import ResourceExhausted, ServiceError, Unavailable
from deepsing.v1 import error_reason_pb2 as reasons

__all__ = ["convert_machine_error"]

FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT})
FAILED_DISK = frozenset({errno.EIO, errno.EROFS, errno.ESTALE, errno.ENXIO, errno.ENODEV})
TOO_MANY_FILES = frozenset({errno.EMFILE, errno.ENFILE})
NO_MEMORY = frozenset({errno.ENOMEM, errno.ENOBUFS})
NO_THREAD = "can't start new thread"  # Python has no class for it
DISK_PAUSE_S, PAUSE_S = 30.0, 10.0  # sent to callers: disks are emptied by people, the rest passes by itself


def convert_machine_error(error: BaseException, service: str) -> ServiceError | None:
    """The error that a caller gets if the machine failed, not the program; None for any other.

    Args:
        error: what a method raised: an OSError, also one of FFmpeg, or a MemoryError.
        service: its name, for the message. The caller learns no path; the log has it.
    """
    number = getattr(error, "errno", None)
    if number in FULL_DISK:
        text = f"{service} has no room left on its disk; try again in {DISK_PAUSE_S:g} s"
        text += ", or ask its operator to free space"
        return ResourceExhausted(text, reason=reasons.ERROR_REASON_DISK_FULL, retry_after_s=DISK_PAUSE_S)
    if number in FAILED_DISK:
        text = f"the disk of {service} fails; try again in {DISK_PAUSE_S:g} s, or ask its operator to look after it"
        return Unavailable(text, reason=reasons.ERROR_REASON_DISK_FAILED, retry_after_s=DISK_PAUSE_S)
    if number in TOO_MANY_FILES:
        text = f"{service} has as many files and connections open as it may; try again in {PAUSE_S:g} s"
        return ResourceExhausted(text, reason=reasons.ERROR_REASON_FILES_EXHAUSTED, retry_after_s=PAUSE_S)
    if number in NO_MEMORY or isinstance(error, MemoryError) or NO_THREAD in str(error):
        text = f"{service} has no memory left; try again in {PAUSE_S:g} s, or ask for less at once"
        return ResourceExhausted(text, reason=reasons.ERROR_REASON_MEMORY_EXHAUSTED, retry_after_s=PAUSE_S)
    return None
