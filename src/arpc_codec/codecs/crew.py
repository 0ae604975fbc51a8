"""Independent jobs in this process and in others beside it: one wavefront keeps one core busy, tiles keep them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from threading import Lock
from types import TracebackType
from typing import Any, TypeVar

from ..processes import pool

Result = TypeVar("Result")
# Pixels for which another process pays.
SHARE = 1 << 17


class Crew:
    """`hands` processes, this one among them; the others start with the first picture that is large enough for them.

    Start them (`gather`) before torch is imported: they import it meanwhile. See `processes`.
    """

    def __init__(self, hands: int = 1) -> None:
        self.most = max(1, hands)
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def gather(self, pixels: int) -> int:
        """How many hands a picture of so many pixels keeps busy; they are there from now on."""
        hands = min(self.most, 1 + pixels // SHARE)
        if hands > 1 and self._pool is None:
            self._pool = pool(self.most - 1, _get_ready)
            for _ in range(hands - 1):
                self._pool.submit(_get_ready)
        return hands

    def run(
        self,
        work: Callable[..., Result],
        jobs: Iterable[tuple[Any, ...]],
        hands: int,
        done: Callable[[int], None] = lambda index: None,
    ) -> list[Result]:
        """work(*job) of every job, in their order, by at most `hands`; done(index) after each.

        Jobs are taken from the iterable when somebody is free for them, so they may be large.
        """
        results: dict[int, Result] = {}
        queue = _Queue(work, jobs, self._pool)
        try:
            for _ in range(hands - 1):
                queue.hand_over()
            while (taken := queue.take()) is not None:
                results[taken[0]] = work(*taken[1])
                done(taken[0])
                queue.collect(results, done, block=False)
            while queue.handed:
                queue.collect(results, done, block=True)
        finally:
            queue.close()
        return [results[index] for index in range(len(results))]


ALONE = Crew()


class _Queue:
    """Jobs that this process takes and others are handed, each as soon as it is free."""

    def __init__(
        self, work: Callable[..., Result], jobs: Iterable[tuple[Any, ...]], pool: ProcessPoolExecutor | None
    ) -> None:
        self.work, self.pool, self.lock = work, pool, Lock()
        self.jobs: Iterator[tuple[int, tuple[Any, ...]]] = enumerate(jobs)
        self.handed: dict[Future[Any], int] = {}

    def take(self) -> tuple[int, tuple[Any, ...]] | None:
        with self.lock:
            return next(self.jobs, None)

    def hand_over(self, finished: Future[Any] | None = None) -> None:
        assert self.pool is not None
        with self.lock:
            if (taken := next(self.jobs, None)) is not None:
                future = self.pool.submit(self.work, *taken[1])
                self.handed[future] = taken[0]
        if taken is not None:
            future.add_done_callback(self.hand_over)

    def collect(self, results: dict[int, Any], done: Callable[[int], None], *, block: bool) -> None:
        ready = wait(list(self.handed), None if block else 0, FIRST_COMPLETED).done
        for future in ready:
            index = self.handed.pop(future)
            results[index] = future.result()
            done(index)

    def close(self) -> None:
        with self.lock:
            self.jobs = iter(())


def _get_ready() -> None:
    import torch  # noqa: F401
