"""Processes that each hold a model and work on one file, or a few together, at a time.

Not concurrent.futures: its pool is lost with one process that dies, and its processes live on when this one is killed.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from arpc_codec.batch.engine import Answer, attempt, next_jobs
from arpc_codec.batch.task import Failure, Made, Task
from arpc_codec.batch.walk import Job
from arpc_codec.errors import ArpcError
from arpc_codec.places import Place
from arpc_codec.processes import Process, context


def work(task: Task, jobs: Sequence[Job], hands: int) -> Generator[Answer, None, None]:
    """The engine of one machine: `hands` processes of this command.

    They end with the iterator, or with this process. See `processes`.
    """
    waiting, again = deque(jobs), set[Job]()
    workers: dict[Any, _Worker] = {}
    try:
        while waiting or workers:
            while waiting and len(workers) < hands:
                worker = _Worker(task)
                workers[worker.pipe] = worker
                worker.take(next_jobs(waiting, again, task.together))
            for pipe in wait(list(workers)):
                worker = workers[pipe]
                taken, found = worker.jobs, worker.answer()
                if found is not None and waiting:
                    worker.take(next_jobs(waiting, again, task.together))
                else:
                    workers.pop(pipe).end()
                if found is not None:
                    yield from (Answer(job, *one) for job, one in zip(taken, found, strict=True))
                elif again.isdisjoint(taken):
                    again.update(taken)
                    waiting.extend(taken)
                else:
                    problem = f"{worker.death()}, twice: out of memory?"
                    yield Answer(taken[0], Failure(ArpcError.exit_code, problem), 0.0)
    finally:
        for worker in workers.values():
            worker.end()


class _Worker:
    """One process, seen from outside."""

    jobs: list[Job]

    def __init__(self, task: Task) -> None:
        self.pipe, theirs = context.Pipe()
        self._process = Process(target=_serve, args=(task, theirs), daemon=True)
        self._process.start()
        # Only the process holds this end now, so the pipe ends with it.
        theirs.close()

    def take(self, jobs: list[Job]) -> None:
        self.jobs = jobs
        # A process that died meanwhile shows when it is asked for the answer.
        with suppress(OSError):
            self.pipe.send([job.path for job in jobs])

    def answer(self) -> list[tuple[Made | Failure, float]] | None:
        """Result and seconds of each job, or None when the process died."""
        try:
            found: list[tuple[Made | Failure, float]] = self.pipe.recv()
        except (EOFError, OSError):
            # It is about to be gone, with the exit code it chose itself.
            self._process.join(1)
            return None
        return found

    def end(self) -> None:
        self.pipe.close()
        self._process.terminate()
        self._process.join()

    def death(self) -> str:
        code = self._process.exitcode or 0
        return f"the process died ({f'signal {-code}' if code < 0 else f'exit code {code}'})"


def _serve(task: Task, pipe: Connection) -> None:
    """What a process does: files after files, until nobody asks any more."""
    # Ctrl-C reaches all processes of a terminal: the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Before torch is imported, which a task does: the other cores have files of their own.
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    with suppress(EOFError, OSError):
        while True:
            paths: list[Place] = pipe.recv()
            pipe.send(attempt(task, paths))
