"""Files and connections that the process may have open."""

import resource

__all__ = ["raise_file_limit", "find_connection_limit"]

RESERVED = 512  # files that connections leave to songs, models and the store


def raise_file_limit() -> None:
    """Raises the soft limit of open files, often 1,024, to the hard one: a connection is a file, too."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def find_connection_limit(wanted: int) -> int:
    """How many connections a server may have, so that the process can still open files: `wanted`, or fewer."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(wanted, max(1, soft - RESERVED)) if soft != resource.RLIM_INFINITY else wanted
