import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from arpc_codec.metrics import NotMeasurable
from arpc_codec.metrics.niqe import niqe
from arpc_codec.metrics.panel import METRICS, missing_metrics, panel
from arpc_codec.metrics.psnr import psnr

KODIM23_JPEG_Q10 = {
    "lpips_alex": (0.350, 0.001),
    "lpips_squeeze": (0.435, 0.001),
    "ssimulacra2-py": (-19.4, 0.3),
    "ms_ssim": (0.883, 0.001),
    "psnr": (28.87, 0.02),
}


def _picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth colours with some noise."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.float64)
    return np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


def test_psnr_by_hand() -> None:
    a = np.full((4, 5, 3), 100, np.uint8)
    assert psnr(a, a + np.uint8(5)) == pytest.approx(10 * math.log10(255**2 / 25))
    b = a.copy()
    b[0, 0, 0] = 0
    assert psnr(a, b) == pytest.approx(10 * math.log10(255**2 * 60 / 100**2))
    assert psnr(a, a) == math.inf
    # uint8 differences must not wrap around.
    assert psnr(np.zeros_like(a), np.full_like(a, 255)) == pytest.approx(0)
    with pytest.raises(ValueError, match="shapes differ"):
        psnr(a, a[:3])


def test_ms_ssim_of_equal_pictures_is_one_and_falls_with_noise() -> None:
    pytest.importorskip("pytorch_msssim")
    a = _picture(180, 200)
    assert panel(a, a, names=["ms_ssim"])["ms_ssim"] == pytest.approx(1)
    noisy = np.clip(a + np.random.default_rng(1).normal(0, 30, a.shape), 0, 255).astype(np.uint8)
    value = panel(a, noisy, names=["ms_ssim"])["ms_ssim"]
    assert value is not None
    assert 0 < value < 0.99


def test_ssimulacra2_of_equal_pictures_is_100() -> None:
    pytest.importorskip("ssimulacra2")
    a = _picture(64, 80)
    assert panel(a, a, names=["ssimulacra2-py"])["ssimulacra2-py"] == pytest.approx(100)


def test_small_pictures_have_none_where_a_measure_cannot_judge(metrics_dir: Path) -> None:
    a = _picture(64, 64)
    values = panel(a, a, weights=metrics_dir, names=["niqe", "ms_ssim", "psnr"])
    assert values == {"niqe": None, "ms_ssim": None, "psnr": math.inf}
    with pytest.raises(NotMeasurable):
        niqe(a, metrics_dir)


def test_missing_weights_are_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ARPC_METRICS", raising=False)
    assert {"lpips_alex", "lpips_squeeze", "niqe"} <= set(missing_metrics())
    assert "no such weights file" in missing_metrics(tmp_path)["lpips_alex"]
    a = _picture(32, 32)
    values = panel(a, a, names=["lpips_alex", "psnr"])
    assert values == {"lpips_alex": None, "psnr": math.inf}


def test_a_missing_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "not installed" in missing_metrics()["ms_ssim"]


def test_pictures_must_have_one_shape() -> None:
    with pytest.raises(ValueError, match="one size"):
        panel(_picture(32, 32), _picture(32, 33), names=["psnr"])


def test_niqe_orders_blur_and_noise(shared_dir: Path) -> None:
    weights = shared_dir / "metrics"
    with Image.open(shared_dir / "data/kodak/kodim23.png") as opened:
        photo = opened.convert("RGB").crop((0, 0, 384, 384))
    soft = photo.resize((96, 96), Image.Resampling.LANCZOS).resize(photo.size, Image.Resampling.LANCZOS)
    clean, blurred = niqe(np.asarray(photo), weights), niqe(np.asarray(soft), weights)
    noise = np.random.default_rng(0).normal(0, 40, (384, 384, 3))
    noisy = niqe(np.clip(np.asarray(photo) + noise, 0, 255).astype(np.uint8), weights)
    assert clean < blurred
    assert clean < noisy


def test_known_answers_on_a_kodak_picture(shared_dir: Path) -> None:
    with Image.open(shared_dir / "data/kodak/kodim23.png") as opened:
        photo = opened.convert("RGB")
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=10)
    reference, decoded = np.asarray(photo), np.asarray(Image.open(file))
    names = [n for n in KODIM23_JPEG_Q10 if METRICS[n].missing(shared_dir / "metrics") is None]
    for name, value in panel(reference, decoded, names=names, weights=shared_dir / "metrics").items():
        wanted, tolerance = KODIM23_JPEG_Q10[name]
        assert value == pytest.approx(wanted, abs=tolerance), name
