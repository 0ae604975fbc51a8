"""The engine of several machines: tasks of a Ray cluster. Needs the extra `cluster`.

Tasks, not actors: any number can wait for a free core, and Ray keeps their processes, which keep the model.
"""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from arpc_codec.batch.engine import Answer, Engine, attempt, next_jobs
from arpc_codec.batch.task import Failure, Made, Task
from arpc_codec.batch.walk import Job
from arpc_codec.errors import ArpcError, ModelError, UsageError, describe
from arpc_codec.places import Place

# Without an answer in this time there is no cluster; Ray itself would try for minutes.
_SECONDS = 10.0


def on_ray(address: str | None = None) -> Engine:
    """The engine of the cluster at an address (HOST:PORT, ray://HOST:PORT or auto).

    Without one, that of RAY_ADDRESS, the one this machine belongs to, or one that is started here for the run. Every
    machine needs this package, the model and the files under the same names. Raises UsageError without Ray. Running it
    raises ArpcError when the cluster cannot be reached.
    """
    try:
        import ray
    except ImportError:
        raise UsageError("--engine ray needs Ray: pip install 'arpc-codec[cluster]'") from None
    return partial(_work, ray, address)


def _work(
    ray: ModuleType, address: str | None, task: Task, jobs: Sequence[Job], hands: int
) -> Generator[Answer, None, None]:
    if not jobs:
        return
    waiting, again = deque(jobs), set[Job]()
    running: dict[Any, list[Job]] = {}
    with _connected(ray, address):
        # Ray would try again itself, but at once, and for ever when memory is short.
        remote = ray.remote(num_cpus=1, num_gpus=int(getattr(task, "device", "") == "cuda"), max_retries=0)(_attempt)
        shared, options = ray.put(task), task.options()
        try:
            while waiting or running:
                while waiting and len(running) < hands:
                    taken = next_jobs(waiting, again, task.together)
                    running[remote.remote(shared, options, [job.path.absolute() for job in taken])] = taken
                for found in ray.wait(list(running), num_returns=1)[0]:
                    taken = running.pop(found)
                    try:
                        answers = ray.get(found)
                    except ray.exceptions.RayTaskError as error:
                        answers = [(Failure(*describe(error.cause or error)), 0.0)] * len(taken)
                    except ray.exceptions.RayError as error:
                        # The process died, or its machine.
                        if again.isdisjoint(taken):
                            again.update(taken)
                            waiting.extend(taken)
                            continue
                        problem = f"the process died ({type(error).__name__}), twice: out of memory?"
                        answers = [(Failure(ArpcError.exit_code, problem), 0.0)]
                    yield from (Answer(job, *one) for job, one in zip(taken, answers, strict=True))
        finally:
            for left in running:
                ray.cancel(left, force=True)


@contextmanager
def _connected(ray: ModuleType, address: str | None) -> Generator[None, None, None]:
    """A connection, which is left again, or that of the caller."""
    if ray.is_initialized():
        yield
        return
    host, port = _endpoint(address)
    try:
        if host:
            socket.create_connection((host, port), _SECONDS).close()
        ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        # Ray has no class for what goes wrong when it starts.
        doing = f"reach a Ray cluster at {address}" if address else "find or start a Ray cluster"
        raise ArpcError(f"cannot {doing}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _endpoint(address: str | None) -> tuple[str, int]:
    """Host and port of an address; no host when Ray is to find it. Raises UsageError for what is no address."""
    if address in (None, "auto", "local"):
        return "", 0
    try:
        parts = urlsplit(address if "://" in address else f"ray://{address}")
        if parts.hostname and parts.port:
            return parts.hostname, parts.port
    except ValueError:
        pass
    raise UsageError(f"--address {address}: not HOST:PORT, ray://HOST:PORT or auto")


def _attempt(task: Task, options: dict[str, Any], paths: list[Place]) -> list[tuple[Made | Failure, float]]:
    """What a machine of the cluster does."""
    try:
        if task.options() != options:
            raise ModelError(f"{socket.gethostname()} has other weights under this model's name")
    except ArpcError as error:
        return [(Failure(*describe(error)), 0.0)] * len(paths)
    return attempt(task, paths)
