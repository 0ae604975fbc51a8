"""Messages on stderr: one line each, whatever names and texts hold, and how much is done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from arpc_codec.hints import hints

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

STDIO = "-"


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
