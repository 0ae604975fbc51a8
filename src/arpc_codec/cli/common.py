"""What the commands share: messages, reading and writing files and pipes, many inputs, common options."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeVar

import click

from arpc_codec.container import MAX_PIXELS
from arpc_codec.errors import ArpcError, TruncatedError, UsageError, describe
from arpc_codec.files import Identity, identity, is_stream, make_folder, may_replace, write_file
from arpc_codec.hints import hints
from arpc_codec.places import Place, place

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

INTERRUPTED = 130
STDIO = "-"

Command = TypeVar("Command", bound=Callable[..., Any])


# -- messages ----------------------------------------------------------------------------------------------------------


def printable(text: str) -> str:
    """Text on one line without control characters: names and captions may hold any."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def complain(text: str) -> None:
    """One line on stderr; nothing when that cannot be written, for the work is what counts."""
    with suppress(OSError):
        click.echo(f"arpc: {printable(text)}", err=True)


@dataclass
class Log:
    """Messages about files on stderr: errors always, notes unless quiet, details only if verbose."""

    quiet: bool = False
    verbose: bool = False
    _console: Console | None = None
    _bar: Progress | None = None
    _part: TaskID | None = None
    _hinted: set[str] = field(default_factory=set)

    def error(self, name: str, text: str) -> None:
        """What went wrong with one file."""
        self._print(f"{shown(name)}: {text}")

    def note(self, name: str, text: str) -> None:
        """What the user should know about one file."""
        if not self.quiet and text:
            self._print(f"{shown(name)}: {text}")

    def once(self, notes: Iterable[str]) -> None:
        """What notes of files give reason to say, the first time only."""
        for hint in hints(notes):
            if hint not in self._hinted:
                self._hinted.add(hint)
                self.note("hint", hint)

    def detail(self, name: str, text: str) -> None:
        """What only a curious user wants to know."""
        if self.verbose and not self.quiet and text:
            self._print(f"{shown(name)}: {text}")

    @contextmanager
    def progress(self, total: int) -> Iterator[Callable[..., None]]:
        """A bar over `total` files while stderr is a terminal; yields what to call after each, with what to say."""
        if self.quiet or not sys.stderr.isatty():
            yield lambda said="": None
            return
        from rich import progress
        from rich.console import Console

        console = Console(stderr=True)
        columns = (
            progress.SpinnerColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.description}", markup=False),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
        )
        bar = progress.Progress(*columns, console=console, transient=True)
        self._console, self._bar = console, bar
        try:
            with bar:
                task = bar.add_task("files", total=total)
                yield lambda said="files": bar.update(task, advance=1, description=said)
        finally:
            self._console = self._bar = self._part = None

    def part(self, done: int, of: int) -> None:
        """How much of one file is done, as a second line of the bar."""
        if self._bar is None:
            return
        if self._part is None:
            self._part = self._bar.add_task("tiles", total=of)
        self._bar.update(self._part, completed=done, total=of, visible=done < of)

    def _print(self, text: str) -> None:
        if self._console is None:
            complain(text)
        else:
            self._console.print(f"arpc: {printable(text)}", markup=False, highlight=False, soft_wrap=True)


def shown(name: str) -> str:
    """How an input is called in messages."""
    return "stdin" if name == STDIO else name


# -- many inputs -------------------------------------------------------------------------------------------------------


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


# -- files and pipes ---------------------------------------------------------------------------------------------------


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
        self._inputs.update(identity(0 if name == STDIO else name) for name in inputs)

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
            if target != STDIO and target in taken:
                raise UsageError(f"{taken[target]} and {name} would both become {target}")
            taken[target] = name

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


# -- options -----------------------------------------------------------------------------------------------------------


def options(*decorators: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Several click decorators as one, in the order in which --help shows them."""

    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


class _Folder(click.Path):
    """A local folder, or the URL of one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = place(value or self.fail("an empty name is no folder", param, ctx))
        return super().convert(found, param, ctx) if isinstance(found, Path) else found


class _Name(click.ParamType):
    """What a file is called; an empty name, as of a variable that is not set, would be the folder one is in."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value or self.fail("an empty name is no file", param, ctx)


class Number(click.FloatRange):
    """A finite number within limits."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        return found if math.isfinite(found) else self.fail(f"{value} is no number", param, ctx)


inputs_argument = click.argument("inputs", metavar="IN...", nargs=-1, required=True, type=_Name())
input_argument = click.argument("source", metavar="IN", type=_Name())
force_options = options(
    click.option("-f", "--force", is_flag=True, help="Overwrite files."),
    click.option("--overwrite-input", is_flag=True, help="Replace even the input by its result."),
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Errors only.")
max_pixels_option = click.option(
    "--max-pixels", type=click.IntRange(min=1), default=MAX_PIXELS, metavar="N", help="Refuse larger pictures (2^29)."
)
# Each takes some 400 MiB.
MOST_JOBS = 8


def jobs_option(use: str) -> Callable[[Command], Command]:
    """-j with what it is for."""
    return click.option(
        "-j",
        "--jobs",
        type=click.IntRange(min=1),
        default=lambda: min(os.cpu_count() or 1, MOST_JOBS),
        metavar="N",
        help=f"{use} (as many as cores, at most {MOST_JOBS}).",
    )


output_options = options(
    click.option("-o", "--output", "out", metavar="OUT", type=_Name(), help="Output file; - is stdout."),
    click.option(
        "--out-dir", type=_Folder(file_okay=False, path_type=Path), metavar="DIR", help="Folder for the outputs."
    ),
    force_options,
    click.option("--skip-existing", is_flag=True, help="Leave out inputs whose output exists."),
)
folder_options = options(
    click.option(
        "--resume", is_flag=True, help="With --out-dir: do only what its manifest.jsonl does not say is done already."
    ),
    click.option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="With --out-dir: processes of this machine, or of a Ray cluster.",
    ),
    click.option(
        "--address",
        metavar="HOST:PORT",
        help="The Ray cluster; also ray://HOST:PORT or auto (RAY_ADDRESS, or one that is started for the run).",
    ),
)
log_options = options(quiet_option, click.option("-v", "--verbose", is_flag=True, help="Say more."))
device_option = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to compute."
)
stages_option = click.option(
    "--stages", type=click.IntRange(min=1), metavar="N", help="The same for codec progic: the first N stages."
)
fill_options = options(
    click.option(
        "--fill",
        type=click.Choice(["mean", "argmax", "sample", "none"]),
        default="mean",
        show_default=True,
        help="How scales that were not sent are made up.",
    ),
    click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, metavar="N", help="For --fill sample (0)."),
    click.option(
        "--guidance",
        type=Number(0, 100),
        metavar="G",
        help="How strongly a caption that conditions the prior draws what is filled, 0 to 100 (3; 1 for mean).",
    ),
)
