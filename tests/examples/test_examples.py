"""Every example runs and ends well, in the shell and in Python."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from arpc_codec.train.data import load_photos
from arpc_codec.zoo.registry import bundled

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
HELPERS = ("photos.py", "shards.py")
# The others are thorough.
DEFAULT = ("pipes.sh", "roundtrip.py")
pytestmark = pytest.mark.skipif(not bundled("tiny").is_dir(), reason="the weights of the bundled model are missing")


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """`arpc` and `python` of this interpreter first on the path."""
    pytest.importorskip("skimage")
    folder = tmp_path_factory.mktemp("bin")
    for name, words in (("arpc", "-m arpc_codec.cli"), ("python", "")):
        command = folder / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        command.chmod(0o755)
    path = os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}


def examples(pattern: str) -> list[object]:
    names = sorted(path.name for path in EXAMPLES.glob(pattern) if path.name not in HELPERS)
    return [name if name in DEFAULT else pytest.param(name, marks=pytest.mark.thorough) for name in names]


def run(words: list[str], environment: dict[str, str], folder: Path) -> None:
    result = subprocess.run(
        words, env=environment, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(shutil.which("sh") is None, reason="no POSIX shell on this machine")
@pytest.mark.parametrize("name", examples("*.sh"))
def test_shell(name: str, environment: dict[str, str], tmp_path: Path) -> None:
    run(["sh", str(EXAMPLES / name)], environment, tmp_path)


@pytest.mark.parametrize("name", examples("*.py"))
def test_python(name: str, environment: dict[str, str], tmp_path: Path) -> None:
    run([sys.executable, str(EXAMPLES / name)], environment, tmp_path)


def test_photos_become_training_data(environment: dict[str, str], tmp_path: Path) -> None:
    run([sys.executable, str(EXAMPLES / "photos.py"), "photos/inside", "96"], environment, tmp_path)
    run([sys.executable, str(EXAMPLES / "shards.py"), "photos", "data"], environment, tmp_path)
    train, held = load_photos(tmp_path / "data")
    assert (len(train), len(held)) == (2, 1)
    assert max(train.pictures[0].shape) == 96
