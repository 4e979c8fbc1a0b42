"""How many CPUs and cores there are for this process."""

from __future__ import annotations

import os

import psutil


def count_cpus() -> int:
    """Those that the process may run on: fewer than the machine has, in a container or under a scheduler."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count_cores() -> int:
    """Physical cores: two CPUs of one core share its arithmetic, and together do no more of it than one."""
    return min(count_cpus(), psutil.cpu_count(logical=False) or count_cpus())
