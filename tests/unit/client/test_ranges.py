"""What cannot be meant is refused before a client connects."""

import math

import pytest

from deepsing.client import Client, StoryOptions
from deepsing.client.errors import Refused
from deepsing.client.ranges import LONGEST_TIMEOUT_S
from deepsing.client.song import SongSource


@pytest.mark.parametrize("timeout_s", [math.nan, math.inf, 0.0, -3.0, 1e10, 1e308])
def test_a_time_limit_that_is_none_is_refused(timeout_s: float) -> None:
    with pytest.raises(Refused, match="choose more than 0 and at most"):
        Client(timeout_s=timeout_s)


def test_time_limits_that_can_be_meant_are_taken() -> None:
    for timeout_s in (None, 0.01, 1, LONGEST_TIMEOUT_S):
        Client(timeout_s=timeout_s)


@pytest.mark.parametrize(
    "target", ["", " ", "host:99999", "host:0", "host:", "host:http", "127.0.0.1:-1", "[::1]:70000"]
)
def test_a_target_without_a_port_that_exists_is_refused(target: str) -> None:
    with pytest.raises(Refused, match="port from 1 to 65535"):
        Client(target)


@pytest.mark.parametrize(
    "target",
    [
        "host:1",
        "host:65535",
        "host",
        "[::1]:50051",
        "dns:///host:50051",
        "unix:/run/x.sock",
        "ipv4:10.0.0.1:1,10.0.0.2:1",
    ],
)
def test_targets_of_every_kind_that_grpc_knows_are_taken(target: str) -> None:
    assert Client(target).target == target


@pytest.mark.parametrize("seconds", [1e308, -1e308, math.inf, math.nan, 1e13])
def test_seconds_are_checked_before_they_are_scaled(seconds: float) -> None:
    for options in (StoryOptions(start_s=seconds), StoryOptions(duration_s=seconds)):
        with pytest.raises(Refused, match="choose a part that lies within the song"):
            options.to_config()


def test_an_empty_name_is_not_the_current_folder() -> None:
    with pytest.raises(Refused, match="the name of the song is empty; give a file"):
        SongSource("")
