"""`arpc encode`: outputs, rates, metadata, many inputs, pipes."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

import arpc_codec
from arpc_codec.container import ChunkType, Colour, read

Run = Callable[..., Result]
pytestmark = pytest.mark.usefixtures("stand_in")


def test_one_picture(arpc: Run, photo: Path, tmp_path: Path) -> None:
    result = arpc("encode", photo, "-o", tmp_path / "x.arpc", "--scales", "3", "--caption", "a ramp")
    assert result.exit_code == 0
    assert result.stdout == ""
    header = read((tmp_path / "x.arpc").read_bytes()).header
    assert (header.width, header.height, header.scales, header.caption) == (48, 32, 3, "a ramp")
    assert "48x32" in result.stderr
    assert "3 of 6 scales" in result.stderr


def test_a_local_url(arpc: Run, photo: Path, tmp_path: Path) -> None:
    assert arpc("encode", photo.as_uri(), "--out-dir", tmp_path / "out").exit_code == 0
    assert (tmp_path / "out" / "photo.arpc").is_file()


def test_a_picture_named_twice(arpc: Run, photo: Path, tmp_path: Path) -> None:
    assert arpc("encode", photo, photo, "--out-dir", tmp_path / "out").exit_code == 2
    assert not list((tmp_path / "out").iterdir())


def test_the_default_name_lies_beside_the_input(arpc: Run, photo: Path) -> None:
    assert arpc("encode", photo, "-q").stderr == ""
    assert photo.with_suffix(".arpc").is_file()


def test_nothing_is_overwritten_without_force(arpc: Run, photo: Path) -> None:
    target = photo.with_suffix(".arpc")
    target.write_bytes(b"old")
    result = arpc("encode", photo)
    assert result.exit_code == 1
    assert result.stderr == f"arpc: {photo}: {target} exists already (-f overwrites)\n"
    assert target.read_bytes() == b"old"
    result = arpc("encode", photo, "--skip-existing")
    assert result.exit_code == 0
    assert target.read_bytes() == b"old"
    assert arpc("encode", photo, "-f").exit_code == 0
    assert read(target.read_bytes()).header.scales == 6
    assert sorted(path.name for path in photo.parent.iterdir()) == ["photo.arpc", "photo.png"]


@pytest.mark.parametrize(
    "options",
    [
        ["--scales", "2", "--target-bytes", "90"],
        ["--target-bpp", "1", "--target-bytes", "90"],
        ["--scales", "0"],
        ["--target-bpp", "-1"],
        ["--target-bpp", "nan"],
        ["--stages", "2"],
        ["--codec", "jpeg"],
        ["--keep", "iptc"],
        ["--alpha", "white"],
        ["--out-dir", ".", "-o", "x"],
        ["--nonsense"],
    ],
)
def test_bad_usage(arpc: Run, photo: Path, options: list[str]) -> None:
    result = arpc("encode", photo, *options)
    assert result.exit_code == 2, result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_usage_of_several_inputs(arpc: Run, photo: Path, tmp_path: Path) -> None:
    assert arpc("encode", photo, photo, "-o", tmp_path / "x").exit_code == 2
    assert arpc("encode", "-", "--out-dir", tmp_path).exit_code == 2
    assert arpc("encode", "-", "-").exit_code == 2
    assert arpc("encode").exit_code == 2


def test_targets_are_bytes_of_the_whole_file(arpc: Run, photo: Path, tmp_path: Path, stand_in: type) -> None:
    assert arpc("encode", photo, "-o", tmp_path / "a", "--target-bytes", "200").exit_code == 0
    assert (tmp_path / "a").stat().st_size <= 200
    assert arpc("encode", photo, "-o", tmp_path / "b", "--target-bpp", "1").exit_code == 0
    assert stand_in.calls[-1]["target_bytes"] == 48 * 32 // 8
    assert arpc("encode", photo, "-o", tmp_path / "c", "--target-bytes", "5").exit_code == 2


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ((), {}),
        (("--verify",), {"verify": True}),
        (("--portable",), {"portable": True}),
        (("--guard", ".1"), {"guard": 0.1}),
    ],
)
def test_the_codec_is_told_how_to_code(
    arpc: Run, photo: Path, stand_in: type, words: tuple[str, ...], asked: dict[str, Any]
) -> None:
    assert arpc("encode", photo, "-o", "-", *words).exit_code == 0
    arpc_codec.encode(photo, **asked)
    wanted = {"verify": False, "portable": False, "guard": None} | asked
    assert [{name: call[name] for name in wanted} for call in stand_in.calls] == [wanted] * 2


def test_more_scales_than_there_are_is_a_note(arpc: Run, photo: Path, tmp_path: Path) -> None:
    result = arpc("encode", photo, "-o", tmp_path / "a", "--scales", "14")
    assert result.exit_code == 0
    assert "6 scales" in result.stderr


def test_pipes(arpc: Run, photo: Path, tmp_path: Path) -> None:
    implicit = arpc("encode", "-", stdin=photo.read_bytes())
    explicit = arpc("encode", photo, "-o", "-")
    assert implicit.exit_code == explicit.exit_code == 0
    assert implicit.stdout_bytes == explicit.stdout_bytes
    assert read(implicit.stdout_bytes).header.scales == 6
    failed = arpc("encode", "-", stdin=b"junk")
    assert (failed.exit_code, failed.stdout_bytes) == (1, b"")
    assert failed.stderr == "arpc: stdin: not a picture in a format that can be read\n"


def test_many_inputs_go_on_after_a_bad_one(arpc: Run, photo: Path, tmp_path: Path) -> None:
    bad, other = tmp_path / "bad.png", tmp_path / "other.png"
    bad.write_bytes(photo.read_bytes()[:60])
    other.write_bytes(photo.read_bytes())
    result = arpc("encode", bad, photo, tmp_path / "missing.png", other, "--out-dir", tmp_path / "new" / "out", "-q")
    assert result.exit_code == 1
    assert sorted(path.name for path in (tmp_path / "new" / "out").iterdir()) == ["other.arpc", "photo.arpc"]
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"arpc: {bad}: cannot be read as a picture")
    assert lines[1] == f"arpc: {tmp_path / 'missing.png'}: No such file or directory"


def test_two_inputs_with_one_output_name(arpc: Run, photo: Path, tmp_path: Path) -> None:
    Image.open(photo).save(tmp_path / "photo.webp")
    result = arpc("encode", photo, tmp_path / "photo.webp", "--out-dir", tmp_path / "out", "-f", "-q")
    assert result.exit_code == 2
    assert f"{photo} and {tmp_path / 'photo.webp'} would both become {tmp_path / 'out' / 'photo.arpc'}" in result.stderr
    # Before any work is done.
    assert not list((tmp_path / "out").iterdir())


def test_a_missing_model_is_exit_5(arpc: Run, photo: Path) -> None:
    result = arpc("encode", photo, photo, "--model", "huge", "--out-dir", photo.parent)
    assert result.exit_code == 5
    assert result.stderr == "arpc: model 'huge' is not on this machine (see `arpc models list`)\n"


def test_metadata_is_kept_on_request_and_noted_otherwise(arpc: Run, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "words"
    exif[0x0112] = 6
    source = tmp_path / "a.jpg"
    Image.new("RGB", (40, 20), "red").save(source, exif=exif)
    result = arpc("encode", source, "-o", tmp_path / "a.arpc")
    assert "EXIF dropped" in result.stderr
    container = read((tmp_path / "a.arpc").read_bytes())
    assert (container.header.width, container.header.height) == (20, 40)
    assert not container.chunks
    assert arpc("encode", source, "-o", tmp_path / "b.arpc", "--keep", "exif,icc").exit_code == 0
    assert [chunk.type for chunk in read((tmp_path / "b.arpc").read_bytes()).chunks] == [ChunkType.EXIF]


def test_alpha_policies(arpc: Run, with_alpha: Path, stand_in: type, tmp_path: Path) -> None:
    source = tmp_path / "rgba.png"
    assert [chunk.type for chunk in read(with_alpha.read_bytes()).chunks] == [ChunkType.ALPHA]
    for policy in ("drop", "#ffffff"):
        result = arpc("encode", source, "-o", "-", "--alpha", policy)
        assert not read(result.stdout_bytes).chunks
    assert stand_in.calls[-1]["pixels"][0, 0].tolist() == [255, 255, 255]
    assert stand_in.calls[-2]["pixels"][0, 0].tolist() == [0, 0, 0]


def test_grey_and_max_pixels(arpc: Run, tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(out, "PNG")
    result = arpc("encode", "-", stdin=out.getvalue())
    assert read(result.stdout_bytes).header.colour is Colour.GREY
    assert arpc("encode", "-", "--max-pixels", "80", stdin=out.getvalue()).exit_code == 1
