"""A thousand pictures in a folder: as fast as without the machinery, and the same after ten kills."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from arpc_codec.zoo.registry import bundled

COUNT, KILLS, PROCESSES = 1000, 10, 2
Tree = Callable[[Path], dict[str, bytes]]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="POSIX signals"),
    pytest.mark.skipif(not bundled("progic").is_dir(), reason="the weights of the bundled model are missing"),
]


def start(*words: str | Path) -> subprocess.Popen[bytes]:
    """`arpc encode` in a process with one thread."""
    command = [sys.executable, "-m", "arpc_codec", "encode", *map(str, words), "-c", "progic", "-q"]
    return subprocess.Popen([*command, "--device", "cpu"], env={**os.environ, "OMP_NUM_THREADS": "1"})


def wait(*processes: subprocess.Popen[bytes]) -> tuple[float, float]:
    """(seconds, seconds of all cores) from now on until all have ended well."""
    began, before = time.perf_counter(), os.times()
    assert [process.wait() for process in processes] == [0] * len(processes)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, used


def test_a_thousand_pictures_and_ten_kills(
    picture: Callable[..., np.ndarray], tmp_path: Path, tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    paths = [photos / f"{seed:03}.png" for seed in range(COUNT)]
    for seed, path in enumerate(paths):
        Image.fromarray(picture(160, 160, seed)).save(path)

    loops = [start(*paths[first::PROCESSES], "--out-dir", tmp_path / "loop") for first in range(PROCESSES)]
    plain, plain_used = wait(*loops)
    folder, folder_used = wait(start(photos, "--out-dir", tmp_path / "folder", "-j", str(PROCESSES)))
    with capsys.disabled():
        print(f"\n{COUNT} pictures: loops {plain:.1f} s ({plain_used:.1f} of all cores), ", end="")
        print(f"folder {folder:.1f} s ({folder_used:.1f})")
    undisturbed = tree(tmp_path / "loop")
    assert len(undisturbed) == COUNT
    assert tree(tmp_path / "folder") == undisturbed

    rng, killed = random.Random(3), []
    for _ in range(KILLS):
        process = start(photos, "--out-dir", tmp_path / "killed", "-j", str(PROCESSES), "--resume")
        time.sleep(rng.uniform(0, folder / 3))
        process.kill()
        assert process.wait() == -signal.SIGKILL
        done = tree(tmp_path / "killed")
        killed.append(len(done))
        # Whole files under their names, and at most one that has none yet.
        assert len([name for name in done if undisturbed.get(name) != done[name]]) <= 1
    with capsys.disabled():
        print(f"killed after {killed}")
    wait(start(photos, "--out-dir", tmp_path / "killed", "-j", str(PROCESSES), "--resume"))
    assert tree(tmp_path / "killed") == undisturbed
    # As many pictures a second as loops without workers and manifest, within 15 %.
    assert folder < plain / 0.85
