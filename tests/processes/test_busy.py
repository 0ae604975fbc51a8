"""Beside two busy loops on two cores everything takes the processor time of one thread, which waits for nobody.

One thread is the measure, and not a quiet run: the machine need not be quiet.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from arpc_codec.zoo.registry import bundled

two_cores = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2, reason="wants two cores, and to choose"
)
pytestmark = pytest.mark.skipif(not bundled("tiny").is_dir(), reason="the weights of the bundled model are missing")
ROOT = Path(__file__).resolve().parents[2]
ARPC = [sys.executable, "-m", "arpc_codec"]
SAID = ("OMP_", "GOMP_", "KMP_", "MKL_")


@pytest.fixture
def busy() -> Iterator[None]:
    """This process and its children share two cores with two busy loops."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:2])
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    yield
    for loop in loops:
        loop.kill()
        loop.wait()
    os.sched_setaffinity(0, before)


def environment(**said: str) -> dict[str, str]:
    """Of a user who says this and nothing else about threads."""
    return {name: text for name, text in os.environ.items() if not name.startswith(SAID)} | said


def processor_seconds(words: list[str], **said: str) -> float:
    process = subprocess.Popen(words, env=environment(**said), stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime


@two_cores
@pytest.mark.thorough
def test_a_decode_beside_busy_loops(tmp_path: Path, picture: Callable[..., np.ndarray], busy: None) -> None:
    """Threads that spin while they wait take 1.7 to 2 times as much here, and on more cores far more."""
    Image.fromarray(picture(192, 256)).save(tmp_path / "a.png")
    subprocess.run([*ARPC, "encode", tmp_path / "a.png", "--device", "cpu", "-q"], env=environment(), check=True)
    words = [*ARPC, "decode", str(tmp_path / "a.arpc"), "-o", str(tmp_path / "b.png"), "-f", "--device", "cpu", "-q"]
    one, ratios = processor_seconds(words, OMP_NUM_THREADS="1"), list[float]()
    while len(ratios) < 3:
        ratios.append(processor_seconds(words, OMP_NUM_THREADS="2") / one)
        if ratios[-1] < 1.5:
            return
    pytest.fail(f"two threads beside two busy loops take {min(ratios):.1f} times the processor time of one")


# Of a picture of this height: options, and how many times as much two threads may take: networks have
# both, loops of small operations one. It was 20 times as much for codec arpc, and 5 for the lossless one.
LOADS = {
    "lossless": (24, {"lossless": True}, 2.0),
    # Its networks have several threads, which spin; with its loops it was 40 times and more.
    "arpc": (192, {"scales": 3}, 15.0),
}
LIBRARY = """
import time, sys, numpy as np, torch, arpc_codec
pixels, options = np.load(sys.argv[1]), {options}
for threads in (1, 1, 2, 2):
    torch.set_num_threads(threads)
    start = time.process_time()
    arpc_codec.decode(arpc_codec.encode(pixels, **options))
    print(time.process_time() - start)
"""


@two_cores
@pytest.mark.parametrize("load", ["lossless", pytest.param("arpc", marks=pytest.mark.thorough)])
def test_a_library_beside_busy_loops(load: str, tmp_path: Path, picture: Callable[..., np.ndarray], busy: None) -> None:
    """Nobody sets a policy of waiting for a library's process."""
    height, options, most = LOADS[load]
    np.save(tmp_path / "a.npy", picture(height, height * 4 // 3))
    words = [sys.executable, "-c", LIBRARY.format(options=options), str(tmp_path / "a.npy")]
    done = subprocess.run(words, env=environment(), check=True, capture_output=True)
    # The first one loads the model.
    _, one, *two = map(float, done.stdout.split())
    assert min(two) < most * one


SAYS = "import os, sys; print(os.environ.get('OMP_WAIT_POLICY'), 'torch' in sys.modules)"


@pytest.mark.parametrize("said", ["", "ACTIVE"])
@pytest.mark.parametrize("words", [["info"], ["train", "prior"]])
def test_commands_say_how_to_wait_before_torch_is_imported(words: list[str], said: str) -> None:
    """And what the user says counts."""
    code = (
        "import atexit\nfrom arpc_codec.cli.main import main\n"
        f"atexit.register(lambda: exec({SAYS!r}))\nmain({[*words, '--no-such-option']!r}, prog_name='arpc')"
    )
    env = environment(**({"OMP_WAIT_POLICY": said} if said else {}))
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    policy, _ = done.stdout.split()
    assert policy == (said or "PASSIVE")


@pytest.mark.parametrize("bench", ["arpc_codec.bench", "dev.bench"])
def test_modules_of_the_benches_say_so_too(bench: str) -> None:
    words = [sys.executable, "-c", f"import sys\nimport {bench}\n{SAYS}"]
    done = subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["PASSIVE", "False"]


def test_workers_say_so_too(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from arpc_codec.processes import pool\n"
        f"def say():\n    exec({SAYS!r})\n"
        "if __name__ == '__main__':\n"
        f"    {SAYS}\n"
        "    with pool(1) as workers:\n        workers.submit(say).result()\n"
    )
    done = subprocess.run([sys.executable, script], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["None False", "PASSIVE False"]
