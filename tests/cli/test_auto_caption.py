"""`--caption auto` and its like in Python, around a captioner that says what it saw."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

import arpc_codec
from arpc_codec import text
from arpc_codec.container import read
from arpc_codec.errors import ModelError, UsageError

Run = Callable[..., Result]
pytestmark = pytest.mark.usefixtures("stand_in")
BRIGHT = np.full((8, 8, 3), 200, np.uint8)


class Witness:
    def caption(self, pixels_hwc: np.ndarray) -> str:
        assert pixels_hwc.dtype == np.uint8
        height, width, channels = pixels_hwc.shape
        return f"a picture of {width} by {height} by {channels}"


@pytest.fixture
def witness(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(text, "captioner", lambda entry, device: asked.append((entry.name, device)) or Witness())
    return asked


def test_each_picture_gets_its_own_caption(
    arpc: Run, photo: Path, tmp_path: Path, witness: list[tuple[str, str]]
) -> None:
    grey = tmp_path / "grey.png"
    Image.new("L", (20, 10)).save(grey)
    result = arpc("encode", photo, grey, "--caption", "auto")
    assert result.exit_code == 0
    for path, words in ((photo, "a picture of 48 by 32 by 3"), (grey, "a picture of 20 by 10 by 3")):
        assert read(path.with_suffix(".arpc").read_bytes()).header.caption == words
        assert f'arpc: {path}: caption "{words}"' in result.stderr
    assert witness == [("tiny", "cpu")] * 2


def test_a_caption_that_was_given_asks_nobody(arpc: Run, photo: Path, witness: list[tuple[str, str]]) -> None:
    assert arpc("encode", photo, "--caption", "automatic").exit_code == 0
    assert read(photo.with_suffix(".arpc").read_bytes()).header.caption == "automatic"
    assert arpc("encode", photo, "-f").exit_code == 0
    assert not read(photo.with_suffix(".arpc").read_bytes()).header.caption
    assert not witness


def test_in_python(witness: list[tuple[str, str]]) -> None:
    assert arpc_codec.info(arpc_codec.encode(BRIGHT, caption="auto")).caption == "a picture of 8 by 8 by 3"
    with pytest.raises(UsageError, match="lossless"):
        arpc_codec.encode(BRIGHT, lossless=True, caption="auto")


def test_without_a_captioner_and_without_loss(
    arpc: Run, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ARPC_BLIP", raising=False)
    result = arpc("encode", photo, "--caption", "auto")
    assert (result.exit_code, result.stderr.count("\n")) == (5, 1)
    assert "set ARPC_BLIP to the folder of a BLIP model" in result.stderr
    assert not photo.with_suffix(".arpc").exists()
    monkeypatch.setenv("ARPC_BLIP", str(tmp_path / "gone"))
    with pytest.raises(ModelError):
        arpc_codec.encode(BRIGHT, caption="auto")
    assert arpc("encode", photo, "--lossless", "--caption", "auto").exit_code == 2
