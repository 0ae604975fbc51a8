"""Seconds and memory of a command. Run as a script, it is the small process that starts the command.

The peak of a process counts what its parent had when it was started, so that a bench cannot start commands itself.
Imports the standard library only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import NamedTuple


class Command(NamedTuple):
    """Words, and what the command reads from stdin; what it writes to stdout is its result."""

    words: list[str]
    data: bytes


class Watched(NamedTuple):
    """Seconds from start to end, and the most memory in MiB."""

    seconds: float
    mib: float


def peak_mib(children: bool = False) -> float:
    """Most memory that this process has had, or the largest of those it waited for, in MiB. Not on Windows."""
    import resource

    who = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
    return resource.getrusage(who).ru_maxrss / (1 << (20 if sys.platform == "darwin" else 10))


def watch(command: Command) -> Watched:
    """Run a command with one thread. Raises RuntimeError with what it said when it fails."""
    words = [sys.executable, "-I", __file__, *command.words]
    # The threads of torch and numpy; and -m is not to find modules in the current folder.
    alone = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}
    done = subprocess.run(words, input=command.data, capture_output=True, env=alone, check=False)
    if done.returncode:
        raise RuntimeError(f"{command.words[0]} ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
    return Watched(**json.loads(done.stdout))


def _main() -> int:
    start = time.perf_counter()
    code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=False).returncode
    print(json.dumps(Watched(time.perf_counter() - start, peak_mib(children=True))._asdict()))
    return code


if __name__ == "__main__":
    sys.exit(_main())
