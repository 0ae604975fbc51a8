"""`arpc decode --region` and `region=` in Python: cut out of the whole picture, alpha too; what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

import arpc_codec
from arpc_codec import Codec
from arpc_codec.errors import UsageError

Run = Callable[..., Result]
Picture = Callable[..., np.ndarray]
MODELS = ["micro", "micro-planes", "micro-progic", "micro-coded", "micro-lossless"]
HEIGHT, WIDTH = 50, 83
REGION = (17, 5, 40, 31)
BOX = (17, 5, 57, 36)


@pytest.fixture(autouse=True)
def home(request: pytest.FixtureRequest, micro_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for fixture in ("micro_planes", "micro_progic", "micro_coded", "micro_lossless"):
        request.getfixturevalue(fixture)
    monkeypatch.setenv("ARPC_HOME", str(micro_home))


@pytest.fixture
def coded(picture: Picture, tmp_path: Path) -> Callable[..., Path]:
    """Function (model, with alpha) -> a file with holes in its alpha plane."""

    def make(model: str, alpha: bool = False) -> Path:
        image = Image.fromarray(picture(HEIGHT, WIDTH))
        if alpha:
            image.putalpha(Image.fromarray(picture(HEIGHT, WIDTH, 1)[..., 0]))
        path = tmp_path / "coded.arpc"
        path.write_bytes(Codec.load(model).encode(image))
        return path

    return make


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("alpha", [False, True])
def test_a_region_is_cut_out(arpc: Run, coded: Callable[..., Path], model: str, alpha: bool, tmp_path: Path) -> None:
    path = coded(model, alpha)
    whole, part = tmp_path / "whole.png", tmp_path / "part.png"
    assert arpc("decode", path, "-o", whole).exit_code == 0
    result = arpc("decode", path, "-o", part, "--region", ",".join(map(str, REGION)))
    assert (result.exit_code, f"40x31 -> {part}" in result.stderr) == (0, True)
    with Image.open(whole) as expected, Image.open(part) as found:
        assert (found.mode, found.size) == ("RGBA" if alpha else "RGB", (40, 31))
        assert found.tobytes() == expected.crop(BOX).tobytes()
        assert found.tobytes() == arpc_codec.decode(path.read_bytes(), region=REGION).tobytes()
        assert found.tobytes() == Codec.load(model).decode(path.read_bytes(), region=REGION).tobytes()
        assert found.tobytes() == arpc_codec.decode_array(path.read_bytes(), region=REGION).tobytes()


def test_steps_of_a_region(arpc: Run, coded: Callable[..., Path], tmp_path: Path) -> None:
    path = coded("micro")
    assert arpc("decode", path, "--steps", tmp_path / "whole").exit_code == 0
    assert arpc("decode", path, "--steps", tmp_path / "part", "--region", "17,5,40,31").exit_code == 0
    names = sorted(file.name for file in (tmp_path / "whole").iterdir())
    assert names == sorted(file.name for file in (tmp_path / "part").iterdir())
    for name in names:
        with Image.open(tmp_path / "whole" / name) as expected, Image.open(tmp_path / "part" / name) as found:
            assert found.tobytes() == expected.crop(BOX).tobytes()


def test_regions_of_folders_are_kept_by_resume(arpc: Run, coded: Callable[..., Path], tmp_path: Path) -> None:
    coded("micro-progic")
    words = ("decode", tmp_path, "--out-dir", tmp_path / "out", "-j", "1", "--resume", "--region")
    assert "1 done" in arpc(*words, "1,2,30,4").stderr
    assert Image.open(tmp_path / "out" / "coded.png").size == (30, 4)
    assert "1 done" not in arpc(*words, "1,2,30,4").stderr
    assert "1 done" in arpc(*words, "1,2,30,5", "-f").stderr


@pytest.mark.parametrize("region", ["1,2,3", "1,2,3,4,5", "a,2,3,4", "1.5,2,3,4", "-1,2,3,4", "", "1 2 3 4", "١,2,3,4"])
def test_malformed_regions(arpc: Run, coded: Callable[..., Path], region: str) -> None:
    result = arpc("decode", coded("micro-progic"), f"--region={region}")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "X,Y,W,H" in result.stderr


@pytest.mark.parametrize("model", MODELS)
def test_regions_outside(arpc: Run, coded: Callable[..., Path], model: str) -> None:
    path = coded(model)
    for region, said in (
        ("44,0,40,50", "region 44,0,40,50 is not inside the picture of 83x50 pixels"),
        ("0,50,1,1", "region 0,50,1,1 is not inside the picture of 83x50 pixels"),
        ("1,1,0,4", "region 1,1,0,4 has no pixels"),
    ):
        result = arpc("decode", path, "--region", region)
        assert (result.exit_code, result.stderr) == (2, f"arpc: {path}: {said}\n")
        with pytest.raises(UsageError, match=said):
            arpc_codec.decode(path.read_bytes(), region=tuple(map(int, region.split(","))))
    assert not path.with_suffix(".png").exists()
