"""Every example runs and ends well, in the shell and in Python."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from arpc_codec.metrics.lpips import LPIPS, _alex, _squeeze
from arpc_codec.metrics.niqe import niqe
from arpc_codec.metrics.vggfeat import VGGFeatures
from arpc_codec.train.data import load_photos
from arpc_codec.train.pixel import load_clean
from arpc_codec.zoo.registry import bundled

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
HELPERS = ("photos.py", "shards.py", "loss_networks.py")
# The others are thorough.
DEFAULT = ("pipes.sh", "roundtrip.py")
pytestmark = pytest.mark.skipif(not bundled("tiny").is_dir(), reason="the weights of the bundled model are missing")


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """`arpc` and `python` of this interpreter first on the path."""
    pytest.importorskip("skimage")
    folder = tmp_path_factory.mktemp("bin")
    for name, words in (("arpc", "-m arpc_codec"), ("python", "")):
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


def test_clean_pictures_become_training_data(environment: dict[str, str], tmp_path: Path) -> None:
    run([sys.executable, str(EXAMPLES / "photos.py"), "photos", "96"], environment, tmp_path)
    (tmp_path / "photos" / "broken.png").write_bytes(b"no picture")
    run([sys.executable, str(EXAMPLES / "shards.py"), "photos", "data", "--clean"], environment, tmp_path)
    train, held = load_clean(tmp_path / "data")
    assert (len(train), len(held)) == (2, 1)
    original = np.asarray(Image.open(tmp_path / "photos" / "astronaut.png"))
    assert np.array_equal(held[0], original[: held[0].shape[0], : held[0].shape[1]])
    assert all(side % 2 == 0 for picture in (*train, *held) for side in picture.shape[:2])


def test_published_weights_become_loss_networks(environment: dict[str, str], tmp_path: Path) -> None:
    torch.manual_seed(0)
    heads = tmp_path / "v0.1"
    heads.mkdir()
    for net, own in (("alex", _alex), ("squeeze", _squeeze)):
        layers, _, channels = own()
        published = {f"features.{name}": tensor for name, tensor in layers.state_dict().items()}
        torch.save({**published, "classifier.1.weight": torch.zeros(1)}, tmp_path / f"{net}.pth")
        torch.save(
            {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate(channels)}, heads / f"{net}.pth"
        )
    widths = (64, 64, 128, 128, 256, 256, 256, 256)
    places = (0, 2, 5, 7, 10, 12, 14, 16)
    vgg = {}
    for place, wide, before in zip(places, widths, (3, *widths), strict=False):
        vgg[f"features.{place}.weight"] = torch.randn(wide, before, 3, 3) / (9 * before) ** 0.5
        vgg[f"features.{place}.bias"] = torch.zeros(wide)
    torch.save(vgg, tmp_path / "vgg.pth")
    pristine = {
        "mu_pris_param": np.zeros((1, 36)),
        "cov_pris_param": np.eye(36),
        "gaussian_window": np.full((7, 7), 1 / 49),
    }
    np.savez(tmp_path / "niqe.npz", **pristine)
    words = "--alexnet alex.pth --squeezenet squeeze.pth --lpips v0.1 --vgg19 vgg.pth --niqe niqe.npz"
    run([sys.executable, str(EXAMPLES / "loss_networks.py"), "metrics", *words.split()], environment, tmp_path)
    a, b = torch.rand(2, 1, 3, 64, 64) * 2 - 1
    for net in ("alex", "squeeze"):
        loaded = LPIPS(net, tmp_path / "metrics")  # type: ignore[arg-type]
        assert torch.equal(loaded.features[0].weight, torch.load(tmp_path / f"{net}.pth")["features.0.weight"])
        assert loaded(a, b).item() > loaded(a, a).item() == 0
    maps = VGGFeatures(tmp_path / "metrics")(a)
    assert [m.shape[1] for m in maps] == [64, 128, 256]
    assert np.isfinite(niqe(np.random.default_rng(0).integers(0, 256, (192, 192, 3), np.uint8), tmp_path / "metrics"))
