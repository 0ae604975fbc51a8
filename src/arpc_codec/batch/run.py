"""A folder of results that can be finished in several runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from arpc_codec.batch.engine import Answer, Engine
from arpc_codec.batch.manifest import NAME, Manifest, Record
from arpc_codec.batch.task import Failure, Made, Task
from arpc_codec.batch.walk import Job
from arpc_codec.batch.workers import work
from arpc_codec.errors import ArpcError, describe
from arpc_codec.files import Identity, identity
from arpc_codec.places import Place, clean, replaceable, seen, write_whole


class Batch:
    """Which jobs are to be done, and doing them; a context, as long as which no other run can write into the folder.

    todo: jobs to be done. kept: those whose result is there. refused: those whose result may not be overwritten, with
    one line that says so.
    """

    def __init__(
        self,
        task: Task,
        jobs: Sequence[Job],
        folder: Place,
        *,
        force: bool = False,
        overwrite_input: bool = False,
        skip_existing: bool = False,
        resume: bool = False,
    ) -> None:
        """Compare the jobs with the folder, which is made. Removes what a killed run left unfinished.

        resume: keep what was made from the same file with the same options, and do everything else again, also where
        that replaces what an earlier run wrote. force: overwrite what is there, but the files
        of no job unless overwrite_input; skip_existing: keep it.
        Raises ArpcError when another run uses the folder or a model is missing, OSError when it cannot be written.
        """
        self.task, self.folder = task, folder
        self.todo: list[Job] = []
        self.kept: list[Job] = []
        self.refused: list[tuple[Job, str]] = []
        # Size and time of the source, and whether the result may replace what is there.
        self._plans: dict[Job, tuple[tuple[int, int], bool]] = {}
        self._options = task.options()
        self._manifest = Manifest(folder)
        # All of them: a result may have the name of any source.
        inputs = {identity(job.path) for job in jobs if isinstance(job.path, Path)}
        try:
            clean(folder, [NAME, *(job.target for job in jobs)])
            for job in jobs:
                self._plan(job, force, skip_existing, resume, inputs, overwrite_input)
        except BaseException:
            self._manifest.close()
            raise

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._manifest.close()

    def run(self, hands: int, engine: Engine = work) -> Iterator[Record]:
        """Do all that is to be done in `hands` processes of an engine; the records as they are written.

        A bad file is a record with an error. Raises OSError when no more records can be written, ArpcError when the
        engine cannot be used.
        """
        # Also when a record cannot be written no process is left.
        with closing(engine(self.task, self.todo, hands)) as answers:
            for answer in answers:
                yield self._keep(answer)

    def _plan(
        self,
        job: Job,
        force: bool,
        skip_existing: bool,
        resume: bool,
        inputs: Collection[Identity | None],
        overwrite_input: bool,
    ) -> None:
        target = self.folder / job.target
        # Before anybody reads the file: when it changes meanwhile, the record does not fit and it is done again.
        source = seen(job.path)
        if (resume and self._up_to_date(job, source)) or (skip_existing and target.exists()):
            self.kept.append(job)
            return
        replaces = force or (resume and self._manifest.wrote(job.target))
        try:
            replaces = replaceable(target, replaces, inputs, overwrite_input)
        except ArpcError as error:
            self.refused.append((job, str(error)))
            return
        self.todo.append(job)
        self._plans[job] = source, replaces

    def _up_to_date(self, job: Job, source: tuple[int, int]) -> bool:
        last = self._manifest.last(job.target)
        return (
            last is not None
            and last.code == 0
            and (last.source, last.options) == (job.source, self._options)
            and (last.bytes_in, last.source_time) == source
            and (last.bytes_out, last.target_time) == self._result_seen(job)
        )

    def _result_seen(self, job: Job) -> tuple[int, int]:
        size, time = seen(self.folder / job.target)
        # Behind a URL a file gets its time with its name: too late for its record.
        return size, time if isinstance(self.folder, Path) else 0

    def _keep(self, answer: Answer) -> Record:
        """Write a result and its record, or that there is none."""
        job, made, seconds = answer
        (size, time), replaces = self._plans[job]
        record = Record(
            job.source,
            job.target,
            bytes_in=size,
            source_time=time,
            seconds=round(seconds, 4),
            options=self._options,
        )
        if isinstance(made, Made):
            record = replace(
                record,
                code=made.code,
                error=made.problem,
                bytes_out=len(made.data),
                width=made.width,
                height=made.height,
                bpp=round(8 * len(made.data) / (made.width * made.height), 5),
                model=made.model,
                summary=made.summary,
                notes=[note for note in made.notes if note],
            )
            target = self.folder / job.target

            def announce(target_time: int) -> None:
                # Before the file has its name: what has it without a record is not ours to overwrite.
                nonlocal record
                record = replace(record, target_time=target_time)
                self._manifest.append(record)

            try:
                write_whole(made.data, target, force=replaces, ready=announce)
                return record
            except (ArpcError, OSError) as error:
                code, text = describe(error)
                made = Failure(code, f"cannot write {target}: {text}")
        record = replace(record, code=made.code, error=made.problem, bytes_out=0)
        self._manifest.append(record)
        return record
