"""How many CPUs there are for this process."""

from __future__ import annotations

import os


def count_cpus() -> int:
    """Those that the process may run on: fewer than the machine has, in a container or under a scheduler."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
