"""One thread for loops of small operations, where a second one waits for each longer than it takes, and in forks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, local

import torch

from arpc_codec.forks import after_fork


class _Alone:
    """How many threads are inside, and how many threads of torch there were before the first of them."""

    def __init__(self) -> None:
        self.lock, self.users, self.before, self.forked = Lock(), 0, 1, False


class _Here(local):
    """Whether the thread that asks is inside."""

    inside = False


_alone, _here = _Alone(), _Here()


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch inside, as many as before after the outermost; in several threads of a process, too."""
    if _here.inside:
        yield
        return
    _here.inside = True
    with _alone.lock:
        if not _alone.users:
            _alone.before = torch.get_num_threads()
        _alone.users += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        _here.inside = False
        with _alone.lock:
            _alone.users -= 1
            torch.set_num_threads(_alone.before)


def may_have_more() -> bool:
    """Whether this process may have more than one thread of torch. A second one hangs in a forked child."""
    return not _alone.forked


@after_fork
def _stay_alone() -> None:
    # Who was inside is not here any more, and those who asked for several threads are not, either.
    _alone.lock, _alone.before, _alone.forked = Lock(), 1, True
    torch.set_num_threads(1)
