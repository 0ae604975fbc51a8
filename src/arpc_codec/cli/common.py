"""What the commands share: many inputs, reading and writing files and pipes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from arpc_codec.cli.log import STDIO, Log
from arpc_codec.errors import ArpcError, TruncatedError, UsageError, describe
from arpc_codec.files import Identity, identity, is_stream, make_folder, may_replace, write_file
from arpc_codec.places import Place, Url, place

INTERRUPTED = 130


def run_all(inputs: Sequence[str], work: Callable[[str], int], log: Log) -> int:
    """Run `work` on every input, going on after a bad one; the worst exit code."""
    codes = []
    with log.progress(len(inputs)) as advance:
        for name in inputs:
            try:
                codes.append(work(name))
            except BrokenPipeError:
                raise
            except Exception as error:
                code, text = describe(error)
                codes.append(code)
                log.error(name, text)
            advance()
    return worst(codes)


def worst(codes: Iterable[int]) -> int:
    """Truncated (a picture was written) is milder than every failure, of those the highest number counts."""
    return max(codes, key=lambda code: (code not in (0, TruncatedError.exit_code), code), default=0)


def read_bytes(name: str) -> bytes:
    """A file's bytes, by name or URL, or all of stdin for `-`; OSError as due."""
    if name == STDIO:
        # Bytes on every system: Python opens the standard streams in binary mode, Windows included.
        return sys.stdin.buffer.read()
    return place(name).read_bytes()


def write_bytes(data: bytes, target: str | Path, *, force: bool, terminal: bool = True) -> None:
    """Write a whole file or nothing, to what is no regular file as it is (see `write_file`), or stdout for `-`.

    ArpcError when it cannot be written, when it exists and `force` is off, or when stdout is a terminal and
    `terminal` is off.
    """
    if target == STDIO:
        if not terminal and sys.stdout.isatty():
            raise ArpcError("will not write binary data to a terminal (-o - does, -o FILE writes a file)")
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise ArpcError(f"cannot write stdout: {error.strerror}") from error
        return
    try:
        write_file(data, Path(target), force=force)
    except BrokenPipeError:
        raise
    except OSError as error:
        folder = Path(os.path.realpath(target)).parent
        reason = error.strerror or str(error) if folder.is_dir() else f"there is no folder {folder}"
        raise ArpcError(f"cannot write {target}: {reason}") from error


@dataclass
class Outputs:
    """Where the results of a run go: `-o`, `--out-dir`, or beside each input (stdin: to stdout)."""

    out: str | None
    out_dir: Place | None
    force: bool = False
    skip_existing: bool = False
    overwrite_input: bool = False
    _inputs: set[Identity | None] = field(default_factory=set)

    def check(self, inputs: Sequence[str]) -> None:
        """UsageError when inputs and options do not fit together; makes the folder, and keeps inputs from harm."""
        self.protect(inputs)
        if self.out is not None and self.out_dir is not None:
            raise UsageError("-o and --out-dir exclude each other")
        if self.out is not None and len(inputs) > 1:
            raise UsageError(f"{len(inputs)} inputs and one -o: use --out-dir")
        if list(inputs).count(STDIO) > 1:
            raise UsageError("stdin can be read only once")
        if self.out_dir is not None:
            if STDIO in inputs:
                raise UsageError("stdin has no name to be used in --out-dir: use -o")
            if isinstance(self.out_dir, Path):
                make_folder(self.out_dir)

    def protect(self, inputs: Iterable[str | Path]) -> None:
        """Files, `-` for what stdin may be, that only --overwrite-input replaces."""
        places = (0 if name == STDIO else place(name) for name in inputs)
        self._inputs.update(identity(at) for at in places if not isinstance(at, Url))

    def target(self, name: str, suffix: str) -> str:
        """Path (or `-`) for the result of one input."""
        if self.out is not None:
            return self.out
        if name == STDIO:
            return STDIO
        given = place(name)
        return str((given.parent if self.out_dir is None else self.out_dir) / (PurePath(given.name).stem + suffix))

    def plan(self, inputs: Sequence[str], suffix: str) -> None:
        """UsageError when two inputs have one result, before any work is done."""
        taken: dict[str, str] = {}
        for name in inputs:
            target = self.target(name, suffix)
            # Names that differ in case alone are one name on Windows.
            key = os.path.normcase(target)
            if target != STDIO and key in taken:
                raise UsageError(f"{taken[key]} and {name} would both become {target}")
            taken[key] = name

    def skip(self, target: str) -> bool:
        """True when --skip-existing says so; ArpcError when the file may not be overwritten."""
        if self.skip_existing and target != STDIO and os.path.exists(target) and not is_stream(target):
            return True
        self._replaces(target)
        return False

    def write(self, data: bytes, target: str) -> None:
        """Write one result; ArpcError as `write_bytes`."""
        write_bytes(data, target, force=self._replaces(target), terminal=self.out == STDIO)

    def _replaces(self, target: str) -> bool:
        return target == STDIO or may_replace(target, self.force, self._inputs, self.overwrite_input)
