"""A task without a model, and a run of it that can be killed: `python batch_tasks.py IN OUT`."""

import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from arpc_codec.batch import Batch, Made, Task, walk
from arpc_codec.errors import FormatError


@dataclass(frozen=True)
class Reverse(Task):
    """Turns bytes around. Some files kill the process: every time, or if there is no file `lives` beside OUT yet."""

    times: int = 1
    lives: str = ""
    seconds: float = field(default=0.0, compare=False)

    @property
    def suffix(self) -> str:
        return ".out"

    def __call__(self, data: bytes) -> Made:
        time.sleep(self.seconds)
        if data == b"bad":
            raise FormatError("is bad")
        if data == b"deadly" or (data == b"once" and not Path(self.lives).exists()):
            Path(self.lives).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Made(data[::-1] * self.times, 2, 2, "none", "turned around", code=6 if data == b"cut" else 0)


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    task = Reverse(times=1000, seconds=0.01)
    with Batch(task, walk([source], [".in"], task.suffix), target, resume=True) as batch:
        for _ in batch.run(2):
            print(".", end="", flush=True)


if __name__ == "__main__":
    main()
