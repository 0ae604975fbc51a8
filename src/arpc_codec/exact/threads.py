"""One thread for loops of small operations, where a second one waits for each longer than it takes, and in forks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, local

import torch

from arpc_codec.forks import after_fork


class _Shared:
    """How many threads are inside, and how many threads of torch there were before the first of them."""

    def __init__(self) -> None:
        self.lock, self.users, self.usual, self.forked = Lock(), 0, 1, False


class _Here(local):
    """How many threads of torch the thread that asks has had set, if it is inside."""

    number: int | None = None


_shared, _here = _Shared(), _Here()


@contextmanager
def so_many_threads(number: int) -> Iterator[None]:
    """So many threads of torch inside, as many as before after the outermost; in several threads of a process, too."""
    outer = _here.number
    if outer == number:
        yield
        return
    _here.number = number
    with _shared.lock:
        if not _shared.users:
            _shared.usual = torch.get_num_threads()
        _shared.users += 1
        torch.set_num_threads(number)
    try:
        yield
    finally:
        _here.number = outer
        with _shared.lock:
            _shared.users -= 1
            torch.set_num_threads(_shared.usual if outer is None else outer)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch inside, as `so_many_threads`."""
    with so_many_threads(1):
        yield


def may_have_more() -> bool:
    """Whether this process may have more than one thread of torch. A second one hangs in a forked child."""
    return not _shared.forked


@after_fork
def _stay_alone() -> None:
    # Who was inside is not here any more, and those who asked for several threads are not, either.
    _shared.lock, _shared.usual, _shared.forked = Lock(), 1, True
    torch.set_num_threads(1)
