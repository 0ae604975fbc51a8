"""One exception per exit code, so that scripts can tell failures apart."""

from __future__ import annotations


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
