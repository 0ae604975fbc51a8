"""Computing again as another machine might: other numbers of threads, other kernels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch

from ..exact.threads import may_have_more
from ..forks import after_fork

# Switches of the whole process: one thread at a time, or what the last one restores is what another one had set.
_switches = RLock()


@after_fork
def _unlock() -> None:
    global _switches
    _switches = RLock()


@contextmanager
def computing(threads: int, *, onednn: bool = True) -> Iterator[None]:
    """So many threads of the CPU, with the kernels of oneDNN or without."""
    with _switches:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            with warnings.catch_warnings():
                # That there is no Intel GPU, which is not news.
                warnings.filterwarnings("ignore", "TF32 acceleration", UserWarning)
                with torch.backends.mkldnn.flags(enabled=onednn):
                    yield
        finally:
            torch.set_num_threads(before)


@contextmanager
def another_machine() -> Iterator[None]:
    """Another number of threads and other kernels: sums are taken in another order, so floats round differently.

    Only on the CPU: a GPU computes the same again.
    """
    with computing(2 if torch.get_num_threads() == 1 and may_have_more() else 1, onednn=False):
        yield
