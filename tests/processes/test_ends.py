"""Whatever ends a command or a program, no process that it started is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from arpc_codec.zoo.registry import bundled

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
# Seconds in which all are gone, on a machine that is busy.
SOON = 20.0


def below(pid: int) -> set[int]:
    """Processes that a process started."""
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()))


def spawned(pid: int) -> bool:
    """Whether a process is a worker, not a fork or what watches the queues for all that hold them."""
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


def gone(pids: set[int]) -> bool:
    """Whether they end soon. Whoever holds the command's output open would be waited for, too."""
    until = time.monotonic() + SOON
    while pids and time.monotonic() < until:
        pids = {pid for pid in pids if Path(f"/proc/{pid}").exists()}
        time.sleep(0.05)
    return not pids


def started(process: subprocess.Popen[bytes], count: int) -> set[int]:
    """The workers of a process, as soon as there are so many."""
    until, found = time.monotonic() + 120, set[int]()
    while len(found) < count and process.poll() is None and time.monotonic() < until:
        found = {pid for pid in below(process.pid) if spawned(pid)}
        time.sleep(0.05)
    assert len(found) >= count
    return found


@pytest.mark.skipif(not bundled("lossless").is_dir(), reason="the weights of the bundled model are missing")
@pytest.mark.parametrize(
    ("end", "native"),
    [
        (signal.SIGKILL, ""),
        (signal.SIGINT, "0"),
        *(
            pytest.param(end, native, marks=pytest.mark.thorough)
            for end, native in ((signal.SIGKILL, "0"), (signal.SIGINT, ""), (signal.SIGTERM, ""), (signal.SIGTERM, "0"))
        ),
    ],
)
def test_a_lossless_encode_that_is_killed(end: signal.Signals, native: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2500, 2500, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.ppm")
    words = [sys.executable, "-m", "arpc_codec", "encode", tmp_path / "a.ppm", "--lossless", "-j", "2"]
    env = {**os.environ, "ARPC_NATIVE": native}
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        # A shell starts what it puts into the background, such as these tests, with interrupts ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        until = time.monotonic() + 120
        # Until it has worked for longer than starting takes.
        while sum(map(int, Path(f"/proc/{process.pid}/stat").read_text("utf-8").split()[13:15])) < 300:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert process.poll() is None
        assert not below(process.pid)
        process.send_signal(end)
        # As `subprocess.run(..., timeout=...)` does it: until nobody can write any more.
        process.communicate(timeout=SOON)
    assert process.returncode == (130 if end == signal.SIGINT else -end)
    assert not (tmp_path / "a.arpc").exists()


def test_subprocess_run_with_a_timeout_returns(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(POOL.format(then="time.sleep(600)"))
    start, limit = time.monotonic(), 6
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        subprocess.run([sys.executable, script], capture_output=True, timeout=limit)
    assert time.monotonic() - start < limit + SOON
    # The workers were there.
    assert (caught.value.stdout or b"").startswith(b"ready")


POOL = """
import os, signal, subprocess, sys, time
from arpc_codec.processes import pool
if __name__ == "__main__":
    workers = pool(2)
    # One is busy, one has nothing to do.
    work = workers.submit(time.sleep, 600)
    workers.submit(os.getpid).result()
    print("ready", flush=True)
    {then}
"""
# A fork of the program lives on and holds all pipes of the workers.
FORK = """if os.fork() == 0:
        os.close(1)
        os.close(2)
        time.sleep(60)
        os._exit(0)
    time.sleep(600)"""


@pytest.mark.parametrize("then", ["time.sleep(600)", FORK, "os.abort()"], ids=["alone", "with a fork", "aborts"])
def test_a_program_with_a_pool_that_is_killed(then: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(POOL.format(then=then))
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE) as process:
        assert process.stdout
        others = started(process, 2)
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.5)
        forks = {pid for pid in below(process.pid) if b"script.py" in Path(f"/proc/{pid}/cmdline").read_bytes()}
        process.kill()
        process.wait()
        try:
            assert gone(others)
        finally:
            for fork in forks:
                os.kill(fork, signal.SIGKILL)
