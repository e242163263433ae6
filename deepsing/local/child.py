"""Runs a service in a process that ends when its parent process ends, even if that is killed.

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
    """Asks the kernel to end this process with its parent (on Linux only), then runs the service.

    Args:
        arguments: the process id of the parent, and the module of the service.
    """
    parent_pid, module = int(arguments[0]), arguments[1]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:  # the parent ended before the kernel was asked
        raise SystemExit(1)
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
