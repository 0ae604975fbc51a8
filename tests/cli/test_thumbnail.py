"""`arpc decode --thumbnail`: sizes, scales, alpha, lossless files, folders, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

import arpc_codec
from arpc_codec import Codec
from arpc_codec.imageio import shrunk
from arpc_codec.scales import scales_shown

Run = Callable[..., Result]
Picture = Callable[..., np.ndarray]


@pytest.fixture(autouse=True)
def home(request: pytest.FixtureRequest, micro_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for fixture in ("micro", "micro_planes", "micro_progic", "micro_lossless"):
        request.getfixturevalue(fixture)
    monkeypatch.setenv("ARPC_HOME", str(micro_home))


def coded(path: Path, image: Image.Image, model: str, **options: object) -> Path:
    path.write_bytes(Codec.load(model).encode(image, **options))  # type: ignore[arg-type]
    return path


def shown(result: Result) -> Image.Image:
    assert result.exit_code == 0, result.stderr
    return Image.open(BytesIO(result.stdout_bytes))


def test_which_scales_show() -> None:
    assert [scales_shown(11, 768, side) for side in (2000, 768, 600, 512, 400, 256, 128, 1)] == [
        11, 11, 11, 10, 10, 9, 8, 1,
    ]  # fmt: skip
    assert scales_shown(3, 100_000, 16) == 1


@pytest.mark.parametrize("model", ["micro", "micro-planes"])
def test_only_scales_that_show_are_decoded(arpc: Run, picture: Picture, tmp_path: Path, model: str) -> None:
    pixels = picture(90, 130)
    path = coded(tmp_path / "a.arpc", Image.fromarray(pixels), model)
    total = arpc_codec.info(path).scales_declared
    result = arpc("decode", path, "-o", "-", "--thumbnail", "32")
    assert f"{total - 2} of {total} scales, at most 32 pixels a side" in result.stderr
    full = np.asarray(arpc_codec.decode(path, scales=total - 2, fill="none"))
    small = np.asarray(shown(result))
    assert small.shape == (22, 32, 3)
    assert np.array_equal(small, shrunk(full, None, 32)[0])
    # Damage in what does not show is none; fewer scales can be asked for.
    spoilt = bytearray(path.read_bytes())
    spoilt[-1] ^= 0x55
    assert np.array_equal(np.asarray(shown(arpc("decode", "-", "--thumbnail", "32", stdin=bytes(spoilt)))), small)
    fewer = arpc("decode", path, "-o", "-", "--thumbnail", "32", "-k", "2")
    assert f"2 of {total} scales" in fewer.stderr


def test_stages_are_all_decoded(arpc: Run, picture: Picture, tmp_path: Path) -> None:
    path = coded(tmp_path / "a.arpc", Image.fromarray(picture(64, 40)), "micro-progic")
    result = arpc("decode", path, "-o", "-", "--thumbnail", "16")
    assert "3 of 3 stages" in result.stderr
    assert shown(result).size == (10, 16)


def test_small_pictures_stay_as_they_are(arpc: Run, picture: Picture, tmp_path: Path) -> None:
    path = coded(tmp_path / "a.arpc", Image.fromarray(picture(20, 30)), "micro")
    assert shown(arpc("decode", path, "-o", "-", "--thumbnail", "256")).size == (30, 20)
    thin = coded(tmp_path / "b.arpc", Image.fromarray(picture(2, 300)), "micro", scales=1)
    assert shown(arpc("decode", thin, "-o", "-", "--thumbnail", "50")).size == (50, 1)


def test_transparent_colours_do_not_bleed() -> None:
    pixels, alpha = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
    # What is seen is red; what is not seen is green.
    pixels[:, :4], pixels[:, 4:] = (200, 0, 0), (0, 200, 0)
    alpha[:, :4] = 255
    small, clear = shrunk(pixels, alpha, 2)
    assert clear is not None
    assert (small.shape, clear.shape) == ((2, 2, 3), (2, 2))
    assert small[..., 1][clear > 0].max() <= 1


def test_alpha_grey_regions_and_formats(arpc: Run, picture: Picture, tmp_path: Path) -> None:
    image = Image.fromarray(picture(48, 64)).convert("LA")
    image.putalpha(Image.fromarray(picture(48, 64, 1)[..., 0]))
    path = coded(tmp_path / "a.arpc", image, "micro")
    small = shown(arpc("decode", path, "-o", "-", "--thumbnail", "32", "--region", "16,0,48,48"))
    assert (small.mode, small.size) == ("LA", (32, 32))
    grey = arpc("decode", path, "-o", tmp_path / "a.pgm", "--thumbnail", "32")
    assert (grey.exit_code, "no transparency" in grey.stderr) == (0, True)
    assert (tmp_path / "a.pgm").read_bytes().startswith(b"P5\n32 24\n")


@pytest.mark.parametrize("deep", [False, True])
def test_lossless_pictures_are_upright_and_of_8_bits(arpc: Run, tmp_path: Path, deep: bool) -> None:
    samples = np.add.outer(np.arange(24), np.arange(16))
    image = Image.fromarray((samples * 700).astype(np.uint16) if deep else (samples * 3).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    source = tmp_path / "a.png"
    image.save(source, exif=exif)
    path = tmp_path / "a.arpc"
    path.write_bytes(arpc_codec.encode(source, model="micro-lossless", lossless=True))
    small = shown(arpc("decode", path, "-o", "-", "--thumbnail", "12", "-j", "1"))
    assert (small.mode, small.size) == ("L", (12, 8))
    assert arpc("decode", path, "-o", tmp_path / "a.tif", "--thumbnail", "12").exit_code == 2


def test_metadata_stays_out(arpc: Run, picture: Picture, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "words"
    image = Image.fromarray(picture(40, 40))
    image.info["exif"] = exif.tobytes()
    path = coded(tmp_path / "a.arpc", image, "micro", keep=("exif",))
    assert "exif" in arpc_codec.decode(path).info
    assert "exif" not in shown(arpc("decode", path, "-o", "-", "--thumbnail", "16")).info


def test_folders_and_steps(arpc: Run, picture: Picture, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = coded(tmp_path / "in" / "a.arpc", Image.fromarray(picture(40, 80)), "micro", scales=2)
    assert arpc("decode", tmp_path / "in", "--out-dir", tmp_path / "out", "--thumbnail", "20", "-j", "1").exit_code == 0
    assert Image.open(tmp_path / "out" / "a.png").size == (20, 10)
    assert arpc("decode", path, "--steps", tmp_path / "steps", "--thumbnail", "20").exit_code == 0
    assert {Image.open(step).size for step in (tmp_path / "steps").iterdir()} == {(20, 10)}


@pytest.mark.parametrize("options", [["--fill", "mean"], ["--guidance", "2"]])
def test_nothing_is_made_up(arpc: Run, picture: Picture, tmp_path: Path, options: list[str]) -> None:
    path = coded(tmp_path / "a.arpc", Image.fromarray(picture(20, 20)), "micro", scales=1)
    refused = arpc("decode", path, "-o", "-", "--thumbnail", "8", *options)
    assert (refused.exit_code, "a thumbnail has nothing made up" in refused.stderr) == (2, True)
    assert arpc("decode", path, "-o", "-", "--thumbnail", "0").exit_code == 2


def test_of_lossless_files_that_png_cannot_hold_to_the_letter(arpc: Run, picture: Picture, tmp_path: Path) -> None:
    Image.fromarray(picture(40, 60)).save(tmp_path / "a.tif", dpi=(300, 300))
    assert arpc("encode", tmp_path / "a.tif", "--lossless", "--model", "micro-lossless").exit_code == 0
    assert shown(arpc("decode", tmp_path / "a.arpc", "-o", "-", "--thumbnail", "30")).size == (30, 20)
