import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no arenas")


def arena_count(**settings: str) -> int:
    """Of a service in a process of its own, in which six threads took memory."""
    variables = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    words = [sys.executable, "-m", "tests.unit.runtime.arenas"]
    settings = variables | settings | {"DEEPSING_SERVER_PORT": "0", "DEEPSING_SERVER_HOST": "127.0.0.1"}
    ended = subprocess.run(words, env=settings, stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    return int(ended.stdout)


def test_all_threads_of_a_service_share_two_arenas() -> None:
    assert arena_count() == 2


def test_an_operator_may_choose_another_number_of_arenas() -> None:
    assert arena_count(MALLOC_ARENA_MAX="5") == 5
