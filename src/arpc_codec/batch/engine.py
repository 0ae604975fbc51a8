"""What an engine is: something that does a task with many files, each in some process, and says what became of them."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import NamedTuple, Protocol

from arpc_codec.batch.task import Made, Task
from arpc_codec.batch.walk import Job
from arpc_codec.errors import describe
from arpc_codec.places import Place


class Failure(NamedTuple):
    """Why there is no result: exit code and one line."""

    code: int
    problem: str


class Answer(NamedTuple):
    """What became of a job, and how long it took."""

    job: Job
    made: Made | Failure
    seconds: float


class Engine(Protocol):
    """Does the task with every job, up to `hands` at a time; one answer for each job, as they are ready.

    A job whose process died is tried once more, after all others. Nothing of it goes on when the iterator is closed.
    """

    def __call__(self, task: Task, jobs: Sequence[Job], hands: int) -> Generator[Answer, None, None]: ...


def attempt(task: Task, path: Place) -> tuple[Made | Failure, float]:
    """Do one file; the result, or why there is none, and seconds."""
    start = time.perf_counter()
    made: Made | Failure
    try:
        made = task(path.read_bytes())
    except Exception as error:
        made = Failure(*describe(error))
    return made, time.perf_counter() - start
