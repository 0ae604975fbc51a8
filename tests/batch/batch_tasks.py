"""A task without a model, and a run of it that can be killed: `python batch_tasks.py IN OUT`.

Brings store://, local files behind a URL, to every process that has this task.
"""

import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from arpc_codec.batch import Batch, Made, Task, walk
from arpc_codec.errors import FormatError

with suppress(ImportError):
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    class Store(LocalFileSystem):
        protocol = "store"

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return super()._strip_protocol(path.removeprefix("store://"))

    fsspec.register_implementation("store", Store, clobber=True)


@dataclass(frozen=True)
class Reverse(Task):
    """Turns bytes around. Some files kill the process: every time, or if there is no file `lives` beside OUT yet.

    Every file that is begun leaves a line in the file `begun`; a result's note is the process that made it.
    """

    times: int = 1
    lives: str = ""
    seconds: float = field(default=0.0, compare=False)
    begun: str = field(default="", compare=False)
    at_once: int = field(default=1, compare=False)

    @property
    def suffix(self) -> str:
        return ".out"

    @property
    def together(self) -> int:
        return self.at_once

    def __call__(self, data: bytes) -> Made:
        if self.begun:
            with open(self.begun, "ab", 0) as log:
                log.write(data + b"\n")
        time.sleep(self.seconds)
        if data == b"bad":
            raise FormatError("is bad")
        if data == b"deadly" or (data == b"once" and not Path(self.lives).exists()):
            Path(self.lives).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        result, code = data[::-1] * self.times, 6 if data == b"cut" else 0
        return Made(result, 2, 2, "none", "turned around", (str(os.getpid()),), code)


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    task = Reverse(times=1000, seconds=0.01)
    with Batch(task, walk([source], [".in"], task.suffix), target, resume=True) as batch:
        for _ in batch.run(2):
            print(".", end="", flush=True)


if __name__ == "__main__":
    main()
