"""Warnings: ours reach the caller's line, those of libraries are dealt with here.

The filters belong to the whole process, so one thread at a time changes them, and nobody warns meanwhile.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Literal

from arpc_codec.errors import NoteWarning
from arpc_codec.forks import after_fork

_filters = RLock()
_entered: list[warnings.catch_warnings[None]] = []


@contextmanager
def filtered(
    action: Literal["ignore", "error"], message: str = "", category: type[Warning] = Warning
) -> Iterator[None]:
    """Within it warnings that begin like `message` are ignored, or errors."""
    with _filters:
        _entered.append(warnings.catch_warnings())
        _entered[-1].__enter__()
        try:
            warnings.filterwarnings(action, message, category)
            yield
        finally:
            _entered.pop().__exit__(None, None, None)


@after_fork
def _renew() -> None:
    # Who was inside is not here any more.
    global _filters
    _filters = RLock()
    while _entered:
        _entered.pop().__exit__(None, None, None)


def warn(notes: Iterable[str]) -> None:
    """In Python what commands say as a note, for the line that called this package, be it by way of Pillow."""
    packages = (sys.modules[name] for name in ("arpc_codec", "PIL") if name in sys.modules)
    inside = tuple(str(Path(package.__file__ or "").parent) + os.sep for package in packages)
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(inside):
        frame, level = frame.f_back, level + 1
    for note in notes:
        with _filters:
            warnings.warn(note, NoteWarning, stacklevel=level)
