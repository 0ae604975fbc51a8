"""What child processes of the imitation matrix share: flags that change how torch computes."""

from __future__ import annotations

import contextlib
import sys

import torch


def arguments() -> tuple[set[str], list[str]]:
    """(flags, other words) of the command line."""
    words = sys.argv[1:]
    return {w for w in words if w.startswith("--")}, [w for w in words if not w.startswith("--")]


def imitate(flags: set[str]) -> contextlib.AbstractContextManager[object]:
    """Set what --float64 and --no-onednn ask for; the context to compute in, for --autocast."""
    if "--float64" in flags:
        torch.set_default_dtype(torch.float64)
    if "--no-onednn" in flags:
        torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    return torch.autocast("cpu", torch.bfloat16, enabled="--autocast" in flags)
