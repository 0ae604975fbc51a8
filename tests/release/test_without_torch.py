"""Where torch has no wheel: what can do without it works, and what cannot says so in one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ABSENT = """
import sys
sys.modules["torch"] = None
from arpc_codec.cli.main import main
main(sys.argv[1:], prog_name="arpc")
"""


@pytest.fixture
def arpc(tmp_path: Path, picture: Callable[..., np.ndarray]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command beside a.png in an environment without torch."""
    Image.fromarray(picture(24, 32)).save(tmp_path / "a.png")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", ABSENT, *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    return run


def test_lossless_files_need_none(arpc: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    for words in (
        "encode a.png -o a.arpc --lossless",
        "verify a.arpc --against a.png",
        "decode a.arpc -o b.png",
        "info a.arpc",
        "packets split a.arpc -o packets --mtu 300",
        "packets join packets -o c.arpc",
        "models list",
    ):
        done = arpc(*words.split())
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words",
    ["encode a.png -o a.arpc", "encode a.png --codec progic -o a.arpc", "encode a.png -o a.arpc --lossless --adapt 1"],
)
def test_what_needs_it_says_so(arpc: Callable[..., subprocess.CompletedProcess[str]], words: str) -> None:
    done = arpc(*words.split())
    assert (done.returncode, done.stderr) == (1, "arpc: a.png: the Python package torch is not installed\n")


def test_whole_commands_that_need_it_say_so(arpc: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    for words in ("bench . -o report", "models check tiny"):
        done = arpc(*words.split())
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.endswith("the Python package torch is not installed")
