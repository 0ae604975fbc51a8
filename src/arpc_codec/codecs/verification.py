"""Decoding a file once more, as another machine might compute."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

# Switches of the whole process: one thread at a time, or what the last one restores is what another one had set.
_switches = Lock()


@contextmanager
def another_machine() -> Iterator[None]:
    """Another number of threads and other kernels: sums are taken in another order, so floats round differently.

    Only on the CPU: a GPU computes the same again.
    """
    with _switches:
        threads = torch.get_num_threads()
        torch.set_num_threads(1 if threads > 1 else 2)
        try:
            with warnings.catch_warnings():
                # That there is no Intel GPU, which is not news.
                warnings.filterwarnings("ignore", "TF32 acceleration", UserWarning)
                with torch.backends.mkldnn.flags(enabled=False):
                    yield
        finally:
            torch.set_num_threads(threads)
