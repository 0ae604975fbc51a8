"""Computing again as another machine might: other numbers of threads, other kernels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch

from arpc_codec.exact.threads import may_have_more, so_many_threads
from arpc_codec.forks import after_fork
from arpc_codec.warned import filtered

# Switches of the whole process: one thread at a time, or what the last one restores is what another one had set.
_switches = RLock()


@after_fork
def _unlock() -> None:
    global _switches
    _switches = RLock()


@contextmanager
def computing(threads: int, *, onednn: bool = True) -> Iterator[None]:
    """So many threads of the CPU, with the kernels of oneDNN or without."""
    with _switches, so_many_threads(threads), _kernels(onednn):
        yield


@contextmanager
def _kernels(onednn: bool) -> Iterator[None]:
    """Torch warns there that there is no Intel GPU, which is not news; nobody else is to be silent in between."""
    flags = torch.backends.mkldnn.flags(enabled=onednn)
    with filtered("ignore", "TF32 acceleration", UserWarning):
        flags.__enter__()
    try:
        yield
    finally:
        with filtered("ignore", "TF32 acceleration", UserWarning):
            flags.__exit__(None, None, None)


@contextmanager
def another_machine() -> Iterator[None]:
    """Another number of threads and other kernels: sums are taken in another order, so floats round differently.

    Only on the CPU: a GPU computes the same again.
    """
    with computing(2 if torch.get_num_threads() == 1 and may_have_more() else 1, onednn=False):
        yield
