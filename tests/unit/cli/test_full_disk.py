"""A full disk of this machine is named in one line; that of a composer elsewhere stays the composer's own words."""

import tempfile

import grpc
import pytest

from deepsing.cli.composer import name_full_disk
from deepsing.client.errors import Unavailable
from deepsing.local.failures import FAILURE, CommandError, exit_status


def test_it_says_where_there_is_no_room_and_the_way_out() -> None:
    with pytest.raises(CommandError) as caught, name_full_disk():
        raise Unavailable("composer has no room", code=grpc.StatusCode.RESOURCE_EXHAUSTED, reason="DISK_FULL")
    assert str(caught.value) == (
        f"there is no room left for temporary files in {tempfile.gettempdir()}; free some, or set TMPDIR to another "
        "folder"
    )
    assert exit_status(caught.value) == FAILURE


def test_other_failures_pass() -> None:
    with pytest.raises(Unavailable, match="all sessions are open"), name_full_disk():
        raise Unavailable("all sessions are open", reason="SESSIONS_EXHAUSTED")
