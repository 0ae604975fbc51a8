"""Processes beside this one: they end when it does, however it ends, and run no file of the current folder.

They are spawned, so the main module must be importable without side effects.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from threading import Lock, Thread
from typing import Any

from arpc_codec.forks import after_fork
from arpc_codec.openmp import wait_passively

# Seconds in which a process notices that its parent is gone, if nothing tells it at once.
NOTICE = 1.0
_starting = Lock()


@after_fork
def _renew() -> None:
    # Who was starting a process is not here any more.
    global _starting
    _starting = Lock()


class Process(SpawnProcess):
    """One process."""

    def start(self) -> None:
        """Start it, isolated."""
        with _isolated():
            super().start()

    def run(self) -> None:
        """What the process itself does."""
        Thread(target=_end_with_parent, daemon=True).start()
        wait_passively()
        super().run()


class _Context(SpawnContext):
    Process = Process


context = _Context()
"""The context of all processes of this package: multiprocessing's, with `Process`."""


def pool(
    hands: int, start: Callable[..., object] | None = None, arguments: tuple[Any, ...] = ()
) -> ProcessPoolExecutor:
    """An executor with so many processes, each of which calls start(*arguments) first."""
    # Its queues start another process, which removes them in the end.
    with _isolated():
        return ProcessPoolExecutor(hands, context, start, arguments)


@contextmanager
def _isolated() -> Iterator[None]:
    """Processes started inside do not look for modules in the current folder, as `python -c` would.

    They take the paths of this process instead. Python 3.10 cannot be told so.
    """
    with _starting:
        before = os.environ.get("PYTHONSAFEPATH")
        os.environ["PYTHONSAFEPATH"] = "1"
        try:
            yield
        finally:
            if before is None:
                del os.environ["PYTHONSAFEPATH"]
            else:
                os.environ["PYTHONSAFEPATH"] = before


def _end_with_parent() -> None:
    """Nobody takes the result of a process whose parent was killed."""
    parent = parent_process()
    assert parent is not None
    # Its pipe tells at once, but not while a fork of the parent holds the other end. Not PR_SET_PDEATHSIG: that is sent
    # when the thread ends that started this process.
    while parent.is_alive() and (os.name != "posix" or os.getppid() == parent.pid):
        parent.join(NOTICE)
    os._exit(1)
