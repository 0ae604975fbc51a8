"""One exception per exit code, so that scripts can tell failures apart."""

from __future__ import annotations

import os
import re
import traceback
from operator import index
from typing import Any

_MESSAGE_WIDTH = 500
# What torch says on a GPU, on Linux and on Windows.
_EXHAUSTED = re.compile("out of memory|can't allocate memory|not enough memory")
# A module of ours that is missing is a fault of ours.
_HERE = ("", "arpc_codec")


class ArpcError(Exception):
    """Anything that went wrong and has no code of its own (I/O, existing output, memory)."""

    exit_code = 1


class UsageError(ArpcError):
    """The caller asked for something that cannot be meant (bad option value, wrong array shape)."""

    exit_code = 2


class FormatError(ArpcError):
    """Not an arpc file, or a damaged one."""

    exit_code = 3


class UnsupportedError(ArpcError):
    """A newer version, an unknown codec, or a critical feature this reader lacks."""

    exit_code = 4


class ModelError(ArpcError):
    """The model a file needs is missing or is not the one it was written with."""

    exit_code = 5


class TruncatedError(ArpcError):
    """The file ends early; what arrived still gives a picture when the caller allows it."""

    exit_code = 6


class NoteWarning(UserWarning):
    """In Python what commands say as a note: a picture has another form in its file, or lost something."""


def whole_number(name: str, value: Any) -> int:
    """An option that counts something; UsageError for what is no whole number."""
    try:
        return index(value)
    except TypeError:
        raise UsageError(f"{name} must be a whole number, not {value!r}") from None


def describe(error: BaseException) -> tuple[int, str]:
    """(exit code, one line) of an error; with ARPC_DEBUG=1 its traceback goes to stderr."""
    if os.environ.get("ARPC_DEBUG", "0") not in ("", "0"):
        traceback.print_exception(type(error), error, error.__traceback__)
    text = " ".join(str(error).split())[:_MESSAGE_WIDTH]
    if isinstance(error, ArpcError):
        return error.exit_code, text
    # torch has no exception of its own for this on a CPU.
    exhausted = isinstance(error, RuntimeError) and _EXHAUSTED.search(text)
    if isinstance(error, MemoryError) or exhausted:
        return 1, "out of memory"
    if isinstance(error, OSError):
        return 1, error.strerror or text
    if isinstance(error, ModuleNotFoundError) and (missing := (error.name or "").split(".")[0]) not in _HERE:
        return 1, f"the Python package {missing} is not installed"
    return 1, f"internal error, {type(error).__name__}: {text} (ARPC_DEBUG=1 shows where)"
