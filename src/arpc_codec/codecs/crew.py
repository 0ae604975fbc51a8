"""Independent jobs in this process and in others beside it: one wavefront keeps one core busy, tiles keep them all."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")


class Crew:
    """`hands` processes, this one among them; the others start with the first run that has work for them.

    They are spawned, so with more than one hand the caller's main module must be importable without side effects.
    """

    def __init__(self, hands: int) -> None:
        self.hands = max(1, hands)
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Crew:
        self._threads = torch.get_num_threads()
        if self.hands > 1:
            torch.set_num_threads(1)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._threads)

    def run(
        self, work: Callable[..., Result], jobs: Sequence[tuple[Any, ...]], done: Callable[[int], None]
    ) -> list[Result]:
        """work(*job) of every job, in their order; done(index) after each."""
        if self.hands == 1 or len(jobs) == 1:
            return [_finished(work(*job), done, index) for index, job in enumerate(jobs)]
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.hands - 1, context, torch.set_num_threads, (1,))
        waiting: list[Future[Result]] = [self._pool.submit(work, *job) for job in jobs[1:]]
        results = {0: _finished(work(*jobs[0]), done, 0)}
        # What nobody has begun is done here, from the end; then the others are waited for.
        for index in reversed(range(1, len(jobs))):
            if waiting[index - 1].cancel():
                results[index] = _finished(work(*jobs[index]), done, index)
        for index in range(1, len(jobs)):
            if index not in results:
                results[index] = _finished(waiting[index - 1].result(), done, index)
        return [results[index] for index in range(len(jobs))]


def _finished(result: Result, done: Callable[[int], None], index: int) -> Result:
    done(index)
    return result
