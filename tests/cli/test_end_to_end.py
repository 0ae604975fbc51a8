"""The whole product with the bundled model, as a user runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import arpc_codec
from arpc_codec.cli.main import main
from arpc_codec.zoo.registry import bundled

pytestmark = pytest.mark.skipif(not bundled("tiny").is_dir(), reason="the weights of the bundled model are missing")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = pytest.importorskip("skimage.data")
    path = tmp_path_factory.mktemp("photo") / "astronaut.png"
    Image.fromarray(data.astronaut()).resize((160, 112)).save(path)
    return path


def run(*args: str | Path) -> Result:
    """A command in this process, so that torch is loaded once."""
    return CliRunner().invoke(main, [str(arg) for arg in args])


def pipe(*args: str, stdin: bytes) -> bytes:
    """A command in a process of its own."""
    words = [sys.executable, "-m", "arpc_codec", *args]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(words, input=stdin, capture_output=True, timeout=120, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_encode_info_decode_verify(photo: Path, tmp_path: Path) -> None:
    coded = tmp_path / "a.arpc"
    result = run("encode", photo, "-o", coded, "--scales", "5", "--caption", "an astronaut")
    assert result.exit_code == 0, result.stderr
    described = json.loads(run("info", "--json", coded).stdout)
    assert (described["scales_declared"], described["caption"]) == (5, "an astronaut")
    assert sum(field["length"] for field in described["fields"]) == coded.stat().st_size
    assert run("decode", coded, "-o", tmp_path / "a.png").exit_code == 0
    assert Image.open(tmp_path / "a.png").size == (160, 112)
    result = run("verify", coded, "--against", photo)
    assert result.exit_code == 0
    assert "PSNR" in result.stdout


def test_pipe_equals_files_equals_api(photo: Path, tmp_path: Path) -> None:
    coded = pipe("encode", "-", "-o", "-", "--scales", "4", "--device", "cpu", stdin=photo.read_bytes())
    assert coded == arpc_codec.encode(Image.open(photo), scales=4)
    (tmp_path / "a.ppm").write_bytes(pipe("decode", "-", "--format", "ppm", "--device", "cpu", stdin=coded))
    difference = np.asarray(Image.open(tmp_path / "a.ppm"), int) - np.asarray(arpc_codec.decode(coded), int)
    # Pixels come from an ordinary float network: one level apart is allowed, other tokens are not.
    assert np.abs(difference).max() <= 1


def test_steps_end_with_the_picture_and_rise_in_quality(photo: Path, tmp_path: Path) -> None:
    coded = tmp_path / "a.arpc"
    assert run("encode", photo, "-o", coded).exit_code == 0
    result = run("decode", coded, "--steps", tmp_path / "s", "-o", tmp_path / "a.png")
    assert result.exit_code == 0, result.stderr
    steps = sorted((tmp_path / "s").iterdir())
    assert len(steps) == arpc_codec.info(coded.read_bytes()).scales_declared
    assert steps[-1].read_bytes() == (tmp_path / "a.png").read_bytes()
    original = np.asarray(Image.open(photo), float)
    errors = [np.mean((np.asarray(Image.open(step), float) - original) ** 2) for step in steps]
    assert errors[-1] < errors[0]


def test_target_bytes_truncation_and_exit_codes(photo: Path, tmp_path: Path) -> None:
    coded = tmp_path / "a.arpc"
    assert run("encode", photo, "-o", coded, "--target-bytes", "150").exit_code == 0
    data = coded.read_bytes()
    assert len(data) <= 150
    (tmp_path / "cut.arpc").write_bytes(data[:-5])
    assert run("decode", tmp_path / "cut.arpc", "-o", tmp_path / "cut.png").exit_code == 6
    assert Image.open(tmp_path / "cut.png").size == (160, 112)
    assert run("decode", tmp_path / "cut.arpc", "-o", tmp_path / "cut.png", "-f", "--allow-truncated").exit_code == 0


def test_preview(photo: Path, tmp_path: Path) -> None:
    assert run("encode", photo, "-o", tmp_path / "a.arpc", "--scales", "3").exit_code == 0
    assert run("preview", tmp_path / "a.arpc", "-o", tmp_path / "sheet.png", "--columns", "3").exit_code == 0
    assert Image.open(tmp_path / "sheet.png").width > 3 * 160
