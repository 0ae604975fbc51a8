"""One thread for loops of small operations: a second one waits for each longer than it takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch


class _Alone:
    """How many are inside, and how many threads there were before the first of them."""

    def __init__(self) -> None:
        self.lock, self.users, self.before = Lock(), 0, 1


_alone = _Alone()


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch inside, as many as before after it; in several threads of a process at a time, too."""
    with _alone.lock:
        if not _alone.users:
            _alone.before = torch.get_num_threads()
        _alone.users += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _alone.lock:
            _alone.users -= 1
            torch.set_num_threads(_alone.before)
