"""Whole folders, for `arpc encode` and `arpc decode`: several files at a time, and runs that can be resumed."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from arpc_codec.cli import common
from arpc_codec.errors import ArpcError, UsageError

if TYPE_CHECKING:
    from arpc_codec.batch import Task


def meant(inputs: Sequence[str], outputs: common.Outputs, resume: bool) -> bool:
    """Whether the inputs are to be done as folders are. UsageError when they are, but there is no --out-dir."""
    folder = next((name for name in inputs if Path(name).is_dir()), None)
    if outputs.out_dir is None and (folder or resume):
        raise UsageError(f"{folder} is a folder: use --out-dir" if folder else "--resume belongs to --out-dir")
    return resume or folder is not None


def run(
    inputs: Sequence[str],
    suffixes: Collection[str],
    task: Task,
    outputs: common.Outputs,
    jobs: int,
    resume: bool,
    log: common.Log,
) -> int:
    """Do the files of folders, and say what became of them; the worst exit code.

    Raises UsageError when two files have one result, ArpcError as `Batch`.
    """
    from rich.filesize import decimal

    from arpc_codec.batch import Batch, walk

    assert outputs.out_dir is not None
    start = time.perf_counter()
    found = walk(inputs, suffixes, task.suffix)
    batch = Batch(task, found, outputs.out_dir, force=outputs.force, skip_existing=outputs.skip_existing, resume=resume)
    codes, bytes_in, bytes_out, saving = [], 0, 0, ""
    with batch, log.progress(len(batch.todo)) as advance:
        for job, problem in batch.refused:
            codes.append(ArpcError.exit_code)
            log.error(job.source, problem)
        for record in batch.run(jobs):
            codes.append(record.code)
            log.detail(record.source, "; ".join(record.notes))
            if record.bytes_out:
                bytes_in, bytes_out = bytes_in + record.bytes_in, bytes_out + record.bytes_out
                saving = f"{decimal(bytes_in)} -> {decimal(bytes_out)} ({bytes_out / bytes_in:.1%})"
                log.detail(record.source, f"{record.width}x{record.height} -> {record.target}: {record.summary}")
            if record.error:
                log.error(record.source, record.error)
            advance(f"files  {saving}")
    failed = sum(code != 0 for code in codes)
    counts = [f"{len(codes) - failed} done", f"{failed} with errors" * bool(failed)]
    counts += [f"{len(batch.kept)} were there" * bool(batch.kept), saving, f"{time.perf_counter() - start:.1f} s"]
    log.note(str(outputs.out_dir), ", ".join(filter(None, counts)))
    return common.worst(codes)
