"""Whole folders, for `arpc encode` and `arpc decode`: several files at a time, and runs that can be resumed."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from arpc_codec.cli import common
from arpc_codec.cli.log import Log
from arpc_codec.errors import ArpcError, UsageError
from arpc_codec.places import Url, place

if TYPE_CHECKING:
    from arpc_codec.batch import Engine, Task


@dataclass(frozen=True)
class How:
    """How folders are done: `jobs` files at a time, whether the manifest says what is left, and by which engine.

    Raises UsageError for an address without a cluster.
    """

    jobs: int
    resume: bool
    engine: str
    address: str | None

    def __post_init__(self) -> None:
        if self.address is not None and self.engine != "ray":
            raise UsageError("--address belongs to --engine ray")

    def option(self) -> str:
        """The option that asks for the ways of folders whatever the inputs are; "" when none does."""
        return "--resume" if self.resume else "--engine ray" if self.engine == "ray" else ""

    def found(self) -> Engine:
        """The engine. Raises UsageError when it is not installed."""
        if self.engine == "ray":
            from arpc_codec.batch.cluster import on_ray

            return on_ray(self.address)
        from arpc_codec.batch.workers import work

        return work


def meant(inputs: Sequence[str], outputs: common.Outputs, how: How) -> bool:
    """Whether the inputs are to be done as folders are. UsageError when they are, but there is no --out-dir."""
    places = {name: place(name) for name in inputs}
    kinds = {name: "a URL" if isinstance(at, Url) else "a folder" * at.is_dir() for name, at in places.items()}
    found = next((f"{name} is {kind}" for name, kind in kinds.items() if kind), "")
    if outputs.out_dir is None and (found or how.option()):
        raise UsageError(f"{found}: use --out-dir" if found else f"{how.option()} belongs to --out-dir")
    return bool(found or how.option()) or isinstance(outputs.out_dir, Url)


def run(
    inputs: Sequence[str],
    suffixes: Collection[str],
    task: Task,
    outputs: common.Outputs,
    how: How,
    log: Log,
) -> int:
    """Do the files of folders, and say what became of them; the worst exit code.

    Raises UsageError when two files have one result or there is no such engine, ArpcError as `Batch`.
    """
    from rich.filesize import decimal

    from arpc_codec.batch import Batch, walk

    assert outputs.out_dir is not None
    start = time.perf_counter()
    engine, found = how.found(), walk(inputs, suffixes, task.suffix)
    replacing = {"force": outputs.force, "overwrite_input": outputs.overwrite_input}
    replacing |= {"skip_existing": outputs.skip_existing, "resume": how.resume}
    batch = Batch(task, found, outputs.out_dir, **replacing)
    codes, bytes_in, bytes_out, saving = [], 0, 0, ""
    with batch, log.progress(len(batch.todo)) as advance:
        for job, problem in batch.refused:
            codes.append(ArpcError.exit_code)
            log.error(job.source, problem)
        for record in batch.run(how.jobs, engine):
            codes.append(record.code)
            log.detail(record.source, "; ".join(record.notes))
            log.once(record.notes)
            if record.bytes_out:
                bytes_in, bytes_out = bytes_in + record.bytes_in, bytes_out + record.bytes_out
                saving = f"{decimal(bytes_in)} -> {decimal(bytes_out)} ({bytes_out / bytes_in:.1%})" if bytes_in else ""
                log.detail(record.source, f"{record.width}x{record.height} -> {record.target}: {record.summary}")
            if record.error:
                log.error(record.source, record.error)
            advance(f"files  {saving}")
    failed = sum(code != 0 for code in codes)
    counts = [f"{len(codes) - failed} done", f"{failed} with errors" * bool(failed)]
    counts += [f"{len(batch.kept)} were there" * bool(batch.kept), saving, f"{time.perf_counter() - start:.1f} s"]
    log.note(str(outputs.out_dir), ", ".join(filter(None, counts)))
    return common.worst(codes)
