"""VMAF against what libvmaf is known to give. Its documentation: a video beside itself scores near 100, not 100."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from arpc_codec.metrics import NotMeasurable, vmaf
from arpc_codec.metrics.panel import missing_metrics, panel


def _score(a: np.ndarray, b: np.ndarray) -> float | None:
    if reason := vmaf.missing():
        pytest.skip(reason)
    return panel(a, b, names=["vmaf"])["vmaf"]


def _picture(height: int, width: int) -> np.ndarray:
    small = np.random.default_rng(2).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def _noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, sigma, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def test_equal_still_pictures_score_what_no_motion_leaves() -> None:
    image = _picture(96, 130)
    assert _score(image, image) == pytest.approx(97.428, abs=0.01)


def test_worse_pictures_score_lower_also_with_odd_sides() -> None:
    image = _picture(97, 131)
    equal, good, bad = (_score(image, _noisy(image, sigma)) for sigma in (0, 10, 40))
    assert equal > good + 5 > bad + 30


def test_the_first_picture_is_the_reference() -> None:
    sharp = _picture(97, 131)
    soft = np.asarray(Image.fromarray(sharp).resize((33, 24)).resize((131, 97)))
    assert _score(sharp, soft) < 50
    assert _score(soft, sharp) > 70


def test_small_pictures_cannot_be_judged() -> None:
    small = np.zeros((vmaf.SMALLEST - 1, 64, 3), np.uint8)
    with pytest.raises(NotMeasurable):
        vmaf.vmaf(small, small)
    assert _score(small, small) is None
    large = np.zeros((vmaf.SMALLEST, vmaf.SMALLEST, 3), np.uint8)
    assert _score(large, large) is not None


def test_missing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "imageio-ffmpeg is not installed" in missing_metrics()["vmaf"]


def test_known_answer_on_a_kodak_picture(shared_dir: Path) -> None:
    with Image.open(shared_dir / "data/kodak/kodim23.png") as opened:
        photo = opened.convert("RGB")
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=10)
    assert _score(np.asarray(photo), np.asarray(Image.open(file))) == pytest.approx(68.8, abs=0.1)
