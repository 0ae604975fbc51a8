"""Independent jobs in several threads: the compiled wavefront does without the interpreter's lock, so each has a core.

In numpy most of a wavefront holds the lock, so that more threads gain little there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeAlias, TypeVar

Result = TypeVar("Result")
# One byte: not 0 when a job should end, which it then does soon.
Stop: TypeAlias = bytearray
GO_ON: Stop = bytearray(1)


def share(
    work: Callable[..., Result],
    jobs: Iterable[tuple[Any, ...]],
    hands: int = 1,
    done: Callable[[int], None] = lambda index: None,
) -> list[Result]:
    """work(*job, stop) of every job, in their order, by `hands` threads; done(index) after each, in this one.

    Jobs are taken from the iterable when somebody is free for them, so they may be large. When anything fails, or the
    user interrupts, the others end within a part of a second, and none is left.
    """
    results: dict[int, Result] = {}
    if hands == 1:
        for index, job in enumerate(jobs):
            results[index] = work(*job, GO_ON)
            done(index)
        return list(results.values())
    stop, running, queue = bytearray(1), dict[Future[Result], int](), enumerate(jobs)
    with ThreadPoolExecutor(hands) as pool:
        try:
            while True:
                while len(running) < hands and (taken := next(queue, None)) is not None:
                    running[pool.submit(work, *taken[1], stop)] = taken[0]
                if not running:
                    return [results[index] for index in range(len(results))]
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    index = running.pop(future)
                    results[index] = future.result()
                    done(index)
        finally:
            stop[0] = 1
