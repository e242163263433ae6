"""Failures of the machine are told from faults of the program, by their number."""

import errno

import av
import grpc
import pytest

from deepsing.rpc.machine import convert_machine_error

CASES = [
    (OSError(errno.ENOSPC, "No space left on device"), "RESOURCE_EXHAUSTED", "DISK_FULL", 30),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), "RESOURCE_EXHAUSTED", "DISK_FULL", 30),
    (av.error.OSError(errno.ENOSPC, "No space left on device"), "RESOURCE_EXHAUSTED", "DISK_FULL", 30),
    (OSError(errno.EIO, "Input/output error"), "UNAVAILABLE", "DISK_FAILED", 30),
    (OSError(errno.EROFS, "Read-only file system"), "UNAVAILABLE", "DISK_FAILED", 30),
    (OSError(errno.EMFILE, "Too many open files"), "RESOURCE_EXHAUSTED", "FILES_EXHAUSTED", 10),
    (OSError(errno.ENFILE, "Too many open files in system"), "RESOURCE_EXHAUSTED", "FILES_EXHAUSTED", 10),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), "RESOURCE_EXHAUSTED", "MEMORY_EXHAUSTED", 10),
    (MemoryError(), "RESOURCE_EXHAUSTED", "MEMORY_EXHAUSTED", 10),
    (RuntimeError("can't start new thread"), "RESOURCE_EXHAUSTED", "MEMORY_EXHAUSTED", 10),
]


@pytest.mark.parametrize(("error", "code", "reason", "pause_s"), CASES, ids=lambda one: str(one)[:30])
def test_it_has_a_reason_of_its_own_and_may_be_tried_again(
    error: Exception, code: str, reason: str, pause_s: float
) -> None:
    answer = convert_machine_error(error, "composer")
    assert answer is not None
    assert (answer.code, answer.reason_name, answer.retry_after_s) == (getattr(grpc.StatusCode, code), reason, pause_s)
    assert "composer" in str(answer)
    assert f"try again in {pause_s} s" in str(answer)


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "no file"), ValueError("28"), KeyError("x")])
def test_faults_of_the_program_are_none(error: Exception) -> None:
    assert convert_machine_error(error, "composer") is None
