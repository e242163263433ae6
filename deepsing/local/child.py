"""Runs a service in a process that ends when the command that started it does, however that ends.

python -m deepsing.local.child PARENT_PID MODULE
"""

import ctypes
import os
import runpy
import signal
import sys

__all__ = ["main"]

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(arguments: list[str]) -> None:
    """Ties this process to its parent and becomes the service.

    Args:
        arguments: the parent's process id and the service's module.
    """
    parent_pid, module = int(arguments[0]), arguments[1]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:  # it ended before the tie was made
        raise SystemExit(1)
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
