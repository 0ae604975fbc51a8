"""What an engine is: something that does a task with many files, each in some process, and says what became of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Generator, Sequence
from typing import NamedTuple, Protocol

from arpc_codec.batch.task import Failure, Made, Task, caught
from arpc_codec.batch.walk import Job
from arpc_codec.places import Place


class Answer(NamedTuple):
    """What became of a job, and how long it took."""

    job: Job
    made: Made | Failure
    seconds: float


class Engine(Protocol):
    """Does the task with every job in up to `hands` processes; one answer for each job, as they are ready.

    A process takes `task.together` jobs at a time. Those of one that died are tried once more, each alone, after all
    others. Nothing of it goes on when the iterator is closed.
    """

    def __call__(self, task: Task, jobs: Sequence[Job], hands: int) -> Generator[Answer, None, None]: ...


def attempt(task: Task, paths: Sequence[Place]) -> list[tuple[Made | Failure, float]]:
    """Do some files; of each the result, or why there is none, and seconds."""
    start = time.perf_counter()
    files = [caught(path.read_bytes) for path in paths]
    made = iter(task.several([file for file in files if not isinstance(file, Failure)]))
    found = [file if isinstance(file, Failure) else next(made) for file in files]
    seconds = (time.perf_counter() - start) / len(paths)
    return [(one, seconds) for one in found]


def next_jobs(waiting: deque[Job], again: Collection[Job], together: int) -> list[Job]:
    """The jobs that a process takes next: up to `together`, but those that are tried again alone."""
    jobs = [waiting.popleft()]
    while waiting and len(jobs) < together and jobs[0] not in again and waiting[0] not in again:
        jobs.append(waiting.popleft())
    return jobs
