"""How many processor cores there are to use."""

from __future__ import annotations

import os


def cores() -> int:
    """Those that this process may run on: of a pinned one, not all of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
