"""Random numbers of torch that are not the caller's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch

from arpc_codec.forks import after_fork

# The generator belongs to the whole process.
_drawing = RLock()


@after_fork
def _renew() -> None:
    # Who was drawing is not here any more.
    global _drawing
    _drawing = RLock()


@contextmanager
def private_random() -> Iterator[None]:
    """Inside, what is drawn on the processor is the same every time; afterwards the caller's numbers go on.

    One thread at a time. Generators of GPUs are left alone.
    """
    with _drawing, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield
