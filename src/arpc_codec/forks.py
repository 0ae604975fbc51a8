"""What a forked child must do before anything else: of the threads of its parent it has only the one that forked."""

from __future__ import annotations

import os
from collections.abc import Callable


def after_fork(call: Callable[[], None]) -> Callable[[], None]:
    """Have it called in every child that is forked from now on; where processes do not fork, never."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=call)
    return call
