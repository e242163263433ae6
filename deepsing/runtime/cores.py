"""How many processor cores this process may use."""

import os
from pathlib import Path

__all__ = ["available_cores"]

CGROUP = Path("/sys/fs/cgroup")


def available_cores() -> int:
    """Returns how many cores this process may use: its CPU affinity, within its container's quota; at least 1."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # macOS
    return max(1, min(affinity, int(_cgroup_quota(CGROUP))))


def _cgroup_quota(root: Path) -> float:
    """Returns the CPU quota of the control group, in cores; a large number if it sets none."""
    try:
        if (root / "cpu.max").exists():  # version 2: "200000 100000" or "max 100000"
            quota, period = (root / "cpu.max").read_text().split()
        else:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text().strip()
        return float(quota) / float(period) if quota not in ("max", "-1") else 1e6
    except (OSError, ValueError):
        return 1e6
