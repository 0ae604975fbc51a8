"""Lossless files on the command line and in the Python API, with a very small model of random weights."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

import arpc_codec
from arpc_codec.codecs.hpac import HpacCodec
from arpc_codec.container import Codec, Container, Header, info, read, write
from arpc_codec.errors import ArpcError, FormatError, ModelError, TruncatedError, UsageError
from arpc_codec.imageio import ExactPicture, read_exact, write_exact

Run = Callable[..., Result]
MODEL = ("--lossless", "-m", "micro-lossless")
EXIF = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
KINDS = [(channels, dtype) for channels in (1, 2, 3, 4) for dtype in (np.uint8, np.uint16)]


@pytest.fixture(autouse=True)
def home(micro_home: Path, micro_lossless: HpacCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARPC_HOME", str(micro_home))


def samples(channels: int, dtype: type, height: int = 5, width: int = 19, seed: int = 0) -> np.ndarray:
    """A ramp with some noise."""
    rng = np.random.default_rng(seed)
    ramp = np.add.outer(7 * np.arange(height), 3 * np.arange(width))[..., None] + rng.integers(0, 9, channels)
    scale = 1 if dtype is np.uint8 else 301
    return (ramp * scale + rng.integers(0, 5, (height, width, channels))).astype(dtype)


def field(data: bytes, name: str) -> range:
    """Where a field of a file lies."""
    found = next(field for field in info(data).fields if field.name == name)
    return range(found.offset, found.offset + found.length)


def changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


@pytest.fixture
def picture() -> ExactPicture:
    """Two tiles, all metadata, an orientation that must not be applied."""
    return ExactPicture(samples(3, np.uint8), exif=EXIF, xmp=XMP)


@pytest.fixture
def source(picture: ExactPicture, tmp_path: Path) -> Path:
    path = tmp_path / "source.png"
    path.write_bytes(write_exact(picture))
    return path


@pytest.fixture
def coded(arpc: Run, source: Path, tmp_path: Path) -> Path:
    path = tmp_path / "coded.arpc"
    assert arpc("encode", source, "-o", path, *MODEL).exit_code == 0
    return path


@pytest.mark.parametrize(("channels", "dtype"), KINDS)
def test_there_and_back(arpc: Run, channels: int, dtype: type, tmp_path: Path) -> None:
    format = ("png", "tiff", "pam")[channels % 3]
    original = ExactPicture(samples(channels, dtype, seed=channels))
    source, coded, back = tmp_path / f"a.{format}", tmp_path / "a.arpc", tmp_path / f"b.{format}"
    source.write_bytes(write_exact(original, format))
    result = arpc("encode", source, "-o", coded, *MODEL)
    assert result.exit_code == 0, result.stderr
    assert "bits a sample" in result.stderr
    assert arpc("decode", coded, "-o", back).exit_code == 0
    assert read_exact(back) == read_exact(source) == original
    result = arpc("verify", coded, "--against", source)
    assert (result.exit_code, result.stdout) == (
        0,
        f"{coded}: ok, every tile good, samples identical, metadata identical\n",
    )


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 18), (17, 1), (2, 2), (16, 33)])
def test_odd_sizes(height: int, width: int) -> None:
    for channels, dtype in KINDS[:6:5]:
        array = samples(channels, dtype, height, width)
        data = arpc_codec.encode(array, codec="hpac", model="micro-lossless")
        assert np.array_equal(arpc_codec.decode_array(data), array)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.tiff", "a.ppm", "a.pam", "a.webp"])
def test_every_format_that_can_hold_it(arpc: Run, picture: ExactPicture, name: str, tmp_path: Path) -> None:
    plain = tmp_path / "plain.arpc"
    plain.write_bytes(arpc_codec.encode(picture.samples, lossless=True, model="micro-lossless"))
    result = arpc("decode", plain, "-o", tmp_path / name)
    assert result.exit_code == 0, result.stderr
    assert np.array_equal(read_exact(tmp_path / name).samples, picture.samples)
    piped = arpc("decode", plain, "-o", "-", "--format", {"tif": "tiff"}.get(name[2:], name[2:]))
    assert piped.stdout_bytes == (tmp_path / name).read_bytes()


def test_metadata_is_kept_byte_by_byte(arpc: Run, coded: Path, source: Path, picture: ExactPicture) -> None:
    container = read(coded.read_bytes())
    assert [chunk.data for chunk in container.chunks] == [EXIF, XMP]
    assert arpc("decode", coded).exit_code == 0
    assert read_exact(coded.with_suffix(".png")) == picture
    bare = coded.with_name("bare.png")
    bare.write_bytes(write_exact(ExactPicture(picture.samples)))
    result = arpc("verify", coded, "--against", bare)
    assert (result.exit_code, result.stdout) == (
        1,
        f"{coded}: ok, every tile good, samples identical, metadata DIFFERENT (EXIF, XMP)\n",
    )


def test_verify_counts_differences(arpc: Run, coded: Path, picture: ExactPicture, tmp_path: Path) -> None:
    other = picture.samples.copy()
    other[0, 0, 0] ^= 1
    other[4, 9] ^= 1
    path = tmp_path / "other.png"
    path.write_bytes(write_exact(ExactPicture(other)))
    result = arpc("verify", coded, "--against", path)
    said = "4 of 285 samples DIFFERENT, metadata DIFFERENT (EXIF, XMP)\n"
    assert (result.exit_code, result.stdout[-len(said) :]) == (1, said)
    path.write_bytes(write_exact(ExactPicture(other[:4])))
    result = arpc("verify", coded, "--against", path)
    assert result.exit_code == 1
    assert "19x5x3x8 and 19x4x3x8" in result.stdout
    assert arpc("verify", coded, "--against", tmp_path / "missing").exit_code == 1


def test_pipes_give_the_same_bytes(arpc: Run, coded: Path, source: Path, picture: ExactPicture) -> None:
    piped = arpc("encode", "-", "-o", "-", "--codec", "hpac", "-m", "101", stdin=source.read_bytes())
    assert piped.stdout_bytes == coded.read_bytes()
    assert piped.stdout_bytes == arpc_codec.encode(source, lossless=True, model="micro-lossless")
    back = arpc("decode", "-", "-o", "-", stdin=piped.stdout_bytes)
    assert read_exact(back.stdout_bytes) == picture


def test_processes_and_their_pipes(source: Path, picture: ExactPicture) -> None:
    def run(*words: str, stdin: bytes) -> bytes:
        command = [sys.executable, "-m", "arpc_codec", *words, "--device", "cpu"]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    data = run("encode", "-", "-o", "-", *MODEL, stdin=source.read_bytes())
    assert read_exact(run("decode", "-", "-o", "-", "--format", "tiff", stdin=data)) == picture


@pytest.mark.skipif(os.name != "posix", reason="POSIX terminals")
@pytest.mark.parametrize(("flag", "speaks"), [("-v", True), ("-q", False)])
def test_a_terminal_shows_the_tiles(source: Path, flag: str, speaks: bool) -> None:
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    words = [sys.executable, "-m", "arpc_codec", "encode", source, "-o", os.devnull, *MODEL, flag]
    assert subprocess.run(words, stderr=slave, timeout=120, check=False).returncode == 0
    os.close(slave)
    seen = b""
    try:
        while part := os.read(master, 4096):
            seen += part
    except OSError:
        pass
    os.close(master)
    assert (b"tiles" in seen) == bool(seen) == speaks


@pytest.mark.parametrize(
    "options",
    [
        ["--scales", "3"],
        ["--target-bytes", "900"],
        ["--target-bpp", "3"],
        ["--keep", "icc"],
        ["--alpha", "drop"],
        ["--codec", "arpc"],
        ["--codec", "progic"],
    ],
)
def test_options_that_do_not_apply_to_encode(arpc: Run, source: Path, options: list[str]) -> None:
    result = arpc("encode", source, "-o", "-", *MODEL, *options)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)


def test_options_that_do_not_apply_to_a_lossless_file(arpc: Run, coded: Path, tmp_path: Path) -> None:
    for options in (["--scales", "2"], ["--steps", tmp_path / "s"], ["--format", "jpeg"]):
        result = arpc("decode", coded, "-o", tmp_path / "x.png", *options)
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert not (tmp_path / "x.png").exists()
    assert not (tmp_path / "s").exists()
    assert "cannot hold pictures exactly" in arpc("decode", coded, "-o", tmp_path / "x.jpg").stderr
    assert arpc("decode", coded, "-o", tmp_path / "x.png", "--fill", "none", "--seed", "3").exit_code == 0
    result = arpc("preview", coded)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)


def test_what_cannot_be_kept_exactly_is_exit_1(arpc: Run, tmp_path: Path) -> None:
    path = tmp_path / "f.tif"
    Image.fromarray(np.ones((4, 4), np.float32)).save(path)
    assert arpc("encode", path, *MODEL).exit_code == 1
    deep = arpc_codec.encode(samples(3, np.uint16), lossless=True, model="micro-lossless")
    result = arpc("decode", "-", "-o", tmp_path / "x.webp", stdin=deep)
    assert (result.exit_code, (tmp_path / "x.webp").exists()) == (1, False)


def test_models_of_other_codecs_are_exit_5(arpc: Run, source: Path, coded: Path) -> None:
    assert arpc("encode", source, "-o", "-", "--lossless", "-m", "micro").exit_code == 5
    assert arpc("encode", source, "-o", "-", "-m", "micro-lossless").exit_code == 5
    assert arpc("encode", source, "-o", "-", "--lossless", "-m", "huge").exit_code == 5
    container = read(coded.read_bytes())
    for model in (100, 999):
        header = Header(Codec.HPAC, model, 19, 5, 1, lossless=container.header.lossless)
        assert arpc("decode", "-", stdin=write(Container(header, container.segments))).exit_code == 5


def test_info(arpc: Run, coded: Path) -> None:
    described = json.loads(arpc("info", "--json", coded).stdout)
    size = coded.stat().st_size
    assert described["lossless"] == {"bits": 8, "channels": 3, "tile": 16, "bpsp": round(8 * size / 285, 6)}
    assert described["sound"]
    text = arpc("info", coded).stdout
    assert f"lossless, 8 bits, 3 channels, tiles of 16, {8 * size / 285:.4f} bits a sample" in text
    data = coded.read_bytes()
    assert "DAMAGED" in arpc("info", "-", stdin=changed(data, len(data) - 1)).stdout
    assert "the picture is not complete" in arpc("info", "-", stdin=data[: field(data, "picture 1")[-1]]).stdout
    assert "its end is missing" in arpc("info", "-", stdin=data[:-1]).stdout


def test_a_damaged_tile_is_named_and_the_others_written(
    arpc: Run, coded: Path, picture: ExactPicture, tmp_path: Path
) -> None:
    data, lost = coded.read_bytes(), []
    # From the back: these bytes belong to the second tile, then to the first (the last word of a stream has slack).
    for at in (field(data, "picture 1")[-10], field(data, "picture 1")[-60]):
        (tmp_path / "bad.arpc").write_bytes(changed(data, at))
        result = arpc("decode", tmp_path / "bad.arpc", "-o", tmp_path / "bad.png", "-q", "-f")
        assert result.exit_code == 3
        assert len(result.stderr.splitlines()) == 1
        columns = "0-15" if "columns 0-15" in result.stderr else "16-18"
        lost.append(columns)
        assert f"damaged: 1 tile (rows 0-4 columns {columns}) lost; picture written" in result.stderr
        good = slice(16, None) if columns == "0-15" else slice(0, 16)
        back = read_exact(tmp_path / "bad.png")
        assert np.array_equal(back.samples[:, good], picture.samples[:, good])
        assert (back.exif, back.xmp) == (EXIF, XMP)
        result = arpc("verify", tmp_path / "bad.arpc")
        assert result.exit_code == 3
        assert "DAMAGED: 1 tile" in result.stdout
    assert lost[0] == "16-18"


def test_damage_outside_the_picture(arpc: Run, coded: Path, picture: ExactPicture) -> None:
    data = coded.read_bytes()
    for name in ("exif", "xmp", "file check"):
        result = arpc("decode", "-", "-o", "-", stdin=changed(data, field(data, name)[-1]))
        assert result.exit_code == 3
        assert "the samples are right" in result.stderr
        assert np.array_equal(read_exact(result.stdout_bytes).samples, picture.samples)


def test_no_changed_byte_goes_unnoticed(arpc: Run) -> None:
    array = samples(1, np.uint8, 2, 17)
    data = arpc_codec.encode(array, lossless=True, model="micro-lossless")
    for at in range(len(data)):
        broken = changed(data, at)
        assert arpc("decode", "-", "-o", "-", "--allow-truncated", stdin=broken).exit_code in (3, 4, 5)
        assert arpc("verify", "-", stdin=broken).exit_code in (3, 4, 5)
        with pytest.raises(ArpcError):
            arpc_codec.decode(broken)


def test_every_cut_is_a_picture_in_part_or_refused(arpc: Run, coded: Path, picture: ExactPicture) -> None:
    data, codes = coded.read_bytes(), []
    for size in [*range(0, len(data), 5), len(data) - 1]:
        result = arpc("decode", "-", "-o", "-", "-q", stdin=data[:size])
        codes.append(result.exit_code)
        assert (result.exit_code == 6) == (len(result.stdout_bytes) > 0)
    assert set(codes) == {3, 6}
    assert codes == sorted(codes)
    assert "truncated: metadata or file check at its end is missing; picture written" in result.stderr
    assert np.array_equal(read_exact(result.stdout_bytes).samples, picture.samples)
    result = arpc("decode", "-", "-o", "-", "--allow-truncated", stdin=data[: field(data, "picture 1")[-1]])
    assert result.exit_code == 0
    assert "truncated: 1 tile (rows 0-4 columns 16-18) did not arrive; picture written" in result.stderr
    assert arpc("verify", "-", stdin=data[:-1]).exit_code == 6


def test_truncate_gives_the_whole_file_or_nothing(arpc: Run, coded: Path) -> None:
    data = coded.read_bytes()
    assert arpc("truncate", coded, "-o", "-", "-k", "1").stdout_bytes == data
    assert arpc("truncate", coded, "-o", "-", "--target-bytes", len(data)).stdout_bytes == data
    result = arpc("truncate", coded, "-o", "-", "--target-bytes", len(data) - 1)
    assert (result.exit_code, result.stdout_bytes) == (2, b"")
    assert "a lossless file stays whole" in result.stderr
    assert arpc("truncate", "-", "-o", "-", "-k", "1", stdin=data[:-1]).exit_code == 3


def test_many_inputs_of_both_codecs(arpc: Run, coded: Path, tmp_path: Path) -> None:
    lossy = tmp_path / "lossy.arpc"
    lossy.write_bytes(arpc_codec.encode(samples(3, np.uint8, 32, 32), model="micro", scales=2))
    cut = tmp_path / "cut.arpc"
    cut.write_bytes(coded.read_bytes()[:-1])
    assert arpc("decode", lossy, coded, "--out-dir", tmp_path / "out").exit_code == 0
    assert arpc("decode", lossy, coded, cut, "--out-dir", tmp_path / "out", "-f").exit_code == 6
    assert sorted(os.listdir(tmp_path / "out")) == ["coded.png", "cut.png", "lossy.png"]
    assert arpc("decode", lossy, "-o", tmp_path / "x.tiff").exit_code == 2


@pytest.mark.parametrize(("channels", "dtype"), KINDS)
def test_arrays(channels: int, dtype: type) -> None:
    array = samples(channels, dtype)
    data = arpc_codec.encode(array, codec="hpac", model="micro-lossless", caption="a ramp")
    assert arpc_codec.info(data).caption == "a ramp"
    back = arpc_codec.decode_array(data)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert np.array_equal(back, array)
    if dtype is np.uint16 and channels > 1:
        with pytest.raises(UsageError, match="decode_array"):
            arpc_codec.decode(data)
        return
    image = arpc_codec.decode(data)
    assert image.mode == ("I;16" if dtype is np.uint16 else ("L", "LA", "RGB", "RGBA")[channels - 1])
    assert np.array_equal(np.asarray(image).reshape(array.shape), array)
    assert arpc_codec.encode(image, lossless=True, model="micro-lossless", caption="a ramp") == data


def test_two_dimensions_are_grey() -> None:
    array = samples(1, np.uint8)
    data = arpc_codec.encode(array[..., 0], lossless=True, model="micro-lossless")
    assert np.array_equal(arpc_codec.decode_array(data), array)


def test_arrays_of_lossy_files() -> None:
    for image, shape in ((Image.new("RGB", (20, 16)), (16, 20, 3)), (Image.new("L", (20, 16)), (16, 20, 1))):
        assert arpc_codec.decode_array(arpc_codec.encode(image, model="micro", scales=1)).shape == shape
    clear = Image.new("RGBA", (20, 16))
    assert arpc_codec.decode_array(arpc_codec.encode(clear, model="micro", scales=1)).shape == (16, 20, 4)


def test_metadata_is_where_pillow_looks(source: Path) -> None:
    image = arpc_codec.decode(arpc_codec.encode(source.read_bytes(), lossless=True, model="micro-lossless"))
    assert image.size == (19, 5)
    assert image.getexif()[0x0112] == 6
    out = io.BytesIO()
    image.save(out, "PNG", exif=image.info["exif"])
    assert read_exact(out.getvalue()).exif == EXIF


def test_errors_of_the_api(coded: Path) -> None:
    array, data = samples(3, np.uint8), coded.read_bytes()
    for options in (
        {"lossless": True, "codec": "arpc"},
        {"lossless": True, "scales": 3},
        {"lossless": True, "target_bytes": 300},
        {"lossless": True, "keep": ("icc",)},
        {"codec": "hpac", "stages": 3},
        {"codec": "jpeg"},
        {"adapt": 10},
    ):
        with pytest.raises(UsageError):
            arpc_codec.encode(array, **options)
    for wrong in (array.astype(np.float32), array[:0], np.zeros((2, 2, 5), np.uint8)):
        with pytest.raises(UsageError):
            arpc_codec.encode(wrong, lossless=True, model="micro-lossless")
    with pytest.raises(ModelError):
        arpc_codec.encode(array, lossless=True, model="micro")
    with pytest.raises(UsageError, match="no scales"):
        arpc_codec.decode(data, scales=2)
    with pytest.raises(TruncatedError):
        arpc_codec.decode(data[:-1])
    assert arpc_codec.decode(data[:-1], allow_truncated=True).size == (19, 5)
    with pytest.raises(FormatError, match="tile"):
        arpc_codec.decode_array(changed(data, field(data, "picture 1")[-10]))


@pytest.mark.parametrize("device", ["cuda", "auto", "cpu"])
def test_a_device_that_is_no_use_is_named(arpc: Run, source: Path, tmp_path: Path, device: str) -> None:
    """Whether there is one or not: lossless coding runs on the processor."""
    said = "device cuda ignored: lossless coding runs on the processor"
    coded, back = tmp_path / "a.arpc", tmp_path / "back.png"
    for words in (("encode", source, "-o", coded, *MODEL), ("verify", coded), ("decode", coded, "-o", back)):
        result = arpc(*words, "--device", device)
        assert (result.exit_code, result.stderr.count(said)) == (0, device == "cuda")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        data = arpc_codec.encode(source, codec="hpac", model="micro-lossless", device=device)
        arpc_codec.decode(data, device=device)
    assert sum(said in str(warning.message) for warning in found) == (2 if device == "cuda" else 0)
