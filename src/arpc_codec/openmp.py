"""How the threads of torch wait for each other, which can be said only before it is imported."""

from __future__ import annotations

import os


def wait_passively() -> None:
    """Threads of this process and of those it starts sleep while they wait, unless the user has said otherwise.

    Beside any other load threads that spin take the time of those they wait for: everything is some ten times slower.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
