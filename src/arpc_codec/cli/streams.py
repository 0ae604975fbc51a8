"""The standard streams of a command, also where its caller closed them or nobody takes what is written."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

# Name, how Python opens it, and how the null device is: what cannot be read or written must fail, not be empty.
# Messages alone may get lost.
_STREAMS = (("stdin", "r", os.O_WRONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_RDWR))


def open_closed() -> None:
    """Take the places of standard streams that are closed, before a file gets their numbers.

    Reading stdin and writing stdout then raise OSError; messages to stderr vanish.
    """
    for number, (name, mode, access) in enumerate(_STREAMS):
        if getattr(sys, name) is not None:
            continue
        null = os.open(os.devnull, access)
        os.dup2(null, number)
        if null != number:
            os.close(null)
        # The processes that the command starts have them, too.
        os.set_inheritable(number, True)
        setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


def leave(code: int) -> NoReturn:
    """End the process with that exit code, whatever the streams still hold and cannot write."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except OSError:
            # Python would try once more, complain and change the code.
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    sys.exit(code)
