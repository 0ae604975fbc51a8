"""Files of the current folder that are named as modules of Python are run by no process that is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from arpc_codec.codecs.hpac import HpacCodec

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 cannot be told so")
NAMES = ("signal", "socket", "types", "selectors", "queue", "tempfile", "struct", "torch", "numpy")
COMMAND = """
from arpc_codec.cli.main import main
if __name__ == "__main__":
    main(prog_name="arpc")
"""
POOL = """
import os, sys
from arpc_codec.processes import pool
def look():
    import queue, selectors, signal, socket, struct, tempfile, types
    return os.environ["HOME"]
if __name__ == "__main__":
    with pool(2) as workers:
        workers.submit(look).result()
    assert "PYTHONSAFEPATH" not in os.environ
"""


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder whose modules leave a mark when they are run."""
    folder = tmp_path / "trap"
    folder.mkdir()
    for name in NAMES:
        marking = f"open({str(tmp_path / 'mark')!r}, 'a').write('{name} ')\nraise SystemExit\n"
        (folder / f"{name}.py").write_text(marking)
    return folder


def run(tmp_path: Path, code: str, *words: str, home: Path | None = None) -> None:
    """A script of another folder, in the trap, as `arpc` itself is run."""
    script = tmp_path / "script.py"
    script.write_text(code)
    env = {name: text for name, text in os.environ.items() if name != "PYTHONSAFEPATH"}
    if home is not None:
        env["ARPC_HOME"] = str(home)
    command = [sys.executable, str(script), *words]
    done = subprocess.run(command, cwd=tmp_path / "trap", env=env, capture_output=True, text=True, timeout=300)
    assert not (tmp_path / "mark").exists(), (tmp_path / "mark").read_text("utf-8")
    assert done.returncode == 0, done.stderr


def test_the_trap_works(trap: Path, tmp_path: Path) -> None:
    env = {name: text for name, text in os.environ.items() if name != "PYTHONSAFEPATH"}
    subprocess.run([sys.executable, "-c", "import selectors"], cwd=trap, env=env, check=False)
    assert "selectors" in (tmp_path / "mark").read_text("utf-8")


def test_workers_of_folders(trap: Path, tmp_path: Path, micro_lossless: HpacCodec, micro_home: Path) -> None:
    for name in ("a", "b"):
        Image.fromarray(np.full((20, 20, 3), 7, np.uint8)).save(trap / f"{name}.png")
    words = ["encode", ".", "--out-dir", "../out", "-j", "2", "--lossless", "-m", "micro-lossless"]
    run(tmp_path, COMMAND, *words, home=micro_home)
    assert {path.name for path in (tmp_path / "out").glob("*.arpc")} == {"a.arpc", "b.arpc"}


def test_a_pool(trap: Path, tmp_path: Path) -> None:
    run(tmp_path, POOL)


def test_a_task_of_the_caller(trap: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.in").write_bytes(b"abc")
    script = Path(__file__).parent.parent / "batch" / "batch_tasks.py"
    run(tmp_path, script.read_text("utf-8"), str(folder), str(tmp_path / "out"))
    assert (tmp_path / "out" / "a.out").read_bytes() == b"cba" * 1000
