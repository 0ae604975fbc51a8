"""Lossless files keep what describes a picture, and everything says what they do not keep: commands, Python, Pillow."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image, PngImagePlugin

import arpc_codec
from arpc_codec.codecs.hpac import HpacCodec
from arpc_codec.container import Chunk, ChunkType, Resolution, Text, Unit, info, read, to_chunk, write
from arpc_codec.errors import FormatError, NoteWarning
from arpc_codec.imageio import ExactPicture, read_exact, write_exact

Run = Callable[..., Result]
MODEL = ("--lossless", "-m", "micro-lossless")
OPTIONS = {"lossless": True, "model": "micro-lossless"}
RGB = np.random.default_rng(9).integers(0, 256, (5, 7, 3), dtype=np.uint8)
DESCRIBED = ExactPicture(
    RGB,
    icc=b"a profile",
    exif=b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0",
    xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
    cicp=b"\x0c\x0d\0\1",
    gama=struct.pack(">I", 45455),
    chrm=struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000),
    srgb=b"\1",
    resolution=Resolution(Fraction(11811), Fraction(11811), Unit.METRE),
    texts=(Text("Title", "a cup"), Text("Comment", "喫茶店", "ja", "注釈"), Text("DateTime", "2026:11:29 01:02:03")),
    iptc=b"\x1c\x02\x78\0\5a cup",
)


@pytest.fixture(autouse=True)
def home(micro_home: Path, micro_lossless: HpacCodec, micro: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARPC_HOME", str(micro_home))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.png"
    path.write_bytes(write_exact(DESCRIBED))
    return path


@pytest.fixture
def coded(arpc: Run, source: Path, tmp_path: Path) -> Path:
    path = tmp_path / "coded.arpc"
    result = arpc("encode", source, "-o", path, *MODEL)
    assert (result.exit_code, "not kept" in result.stderr) == (0, False)
    return path


def jpeg(behind: bytes = b"", **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(RGB).save(out, "JPEG", **options)
    return out.getvalue() + behind


def test_every_kind_has_a_chunk_and_comes_back(arpc: Run, source: Path, coded: Path, tmp_path: Path) -> None:
    assert [chunk.name for chunk in read(coded.read_bytes()).chunks] == [
        *("icc", "exif", "xmp", "cicp", "gama", "chrm", "srgb", "resolution", "texts", "iptc")
    ]
    described = {field.name for field in info(coded.read_bytes()).fields}
    assert {"gama", "resolution head", "texts"} <= described
    shown = arpc("info", coded).stdout
    assert all(f"  {name} " in shown for name in ("cicp", "resolution", "texts", "iptc"))
    assert arpc("decode", coded, "-o", tmp_path / "back.png").stderr.count("\n") == 1
    assert (tmp_path / "back.png").read_bytes() == source.read_bytes()
    result = arpc("verify", coded, "--against", source)
    said = "ok, every tile good, samples identical, metadata identical\n"
    assert (result.exit_code, result.stdout) == (0, f"{coded}: {said}")


def test_a_picture_without_such_metadata_has_the_bytes_that_it_had(arpc: Run, tmp_path: Path) -> None:
    plain = arpc_codec.encode(RGB, **OPTIONS)
    assert read(plain).chunks == ()
    files = [jpeg(), write_exact(ExactPicture(RGB))]
    unitless = {282: 1, 283: 1, 296: 1}
    out = io.BytesIO()
    Image.fromarray(RGB).save(out, "TIFF", tiffinfo=unitless)
    for data in (*files, out.getvalue()):
        path = tmp_path / "plain"
        path.write_bytes(data)
        file = arpc("encode", path, "-o", "-", *MODEL).stdout_bytes
        assert (len(read(file).chunks), file == plain) == (0, not data.startswith(b"\xff"))


@pytest.mark.parametrize(("format", "gone"), [("ppm", "resolution, texts"), ("webp", "resolution, texts")])
def test_a_format_without_a_place_is_a_note(arpc: Run, format: str, gone: str, tmp_path: Path) -> None:
    source = tmp_path / "a.jpg"
    source.write_bytes(jpeg(dpi=(300, 300), comment=b"words"))
    coded = tmp_path / "a.arpc"
    assert arpc("encode", source, "-o", coded, *MODEL).exit_code == 0
    result = arpc("decode", coded, "-o", tmp_path / f"a.{format}")
    assert result.exit_code == 0
    assert f"{format.upper()} holds no {gone}: left out" in result.stderr
    assert np.array_equal(read_exact(tmp_path / f"a.{format}").samples, read_exact(source).samples)
    assert arpc("verify", coded, "--against", source).stdout.endswith("samples identical, metadata identical\n")
    result = arpc("verify", coded, "--against", tmp_path / f"a.{format}")
    said = "samples identical, metadata DIFFERENT (RESOLUTION, TEXTS)\n"
    assert (result.exit_code, result.stdout[-len(said) :]) == (1, said)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (jpeg(b"motion"), "6 bytes behind the picture not kept"),
        (jpeg(xmp=b"<x hdrgm:Version='1.0'/>"), "gain map not kept"),
        (write_exact(ExactPicture(RGB)) + b"tail", "4 bytes behind the picture not kept"),
        (write_exact(ExactPicture(RGB, xmp=b"x")).replace(b"iTXt", b"xxXt", 1), None),
    ],
)
def test_what_is_not_there_is_said_by_all(arpc: Run, data: bytes, words: str | None, tmp_path: Path) -> None:
    if words is None:
        at = data.index(b"xxXt")
        size = int.from_bytes(data[at - 4 : at], "big")
        data = data[: at + 4 + size] + struct.pack(">I", zlib.crc32(data[at : at + 4 + size])) + data[at + 8 + size :]
        words = "PNG chunks not kept: xxXt"
    source, coded = tmp_path / "a", tmp_path / "a.arpc"
    source.write_bytes(data)
    assert words in arpc("encode", source, "-o", coded, *MODEL).stderr
    result = arpc("verify", coded, "--against", source)
    said = f"samples identical, metadata identical, NOT IN THE FILE: {words}\n"
    assert (result.exit_code, result.stdout[-len(said) :]) == (1, said)
    with pytest.warns(NoteWarning, match=words):
        assert arpc_codec.encode(source, **OPTIONS) == coded.read_bytes()
    manifest = tmp_path / "out" / "manifest.jsonl"
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(data)
    assert arpc("encode", folder, "--out-dir", manifest.parent, "-j", "1", *MODEL).exit_code == 0
    assert words in manifest.read_text(encoding="utf-8")


def test_pillow_keeps_and_gives_the_same() -> None:
    image = Image.open(io.BytesIO(write_exact(DESCRIBED)))
    file = io.BytesIO()
    image.save(file, "ARPC", **OPTIONS)
    opened = Image.open(file)
    info = opened.info
    assert info["dpi"] == pytest.approx((300, 300), 1e-4)
    assert (info["gamma"], info["srgb"], info["chromaticity"]) == (
        image.info["gamma"],
        image.info["srgb"],
        image.info["chromaticity"],
    )
    assert (info["Title"], info["Comment"], info["Comment"].lang) == ("a cup", "喫茶店", "ja")
    decoded = arpc_codec.decode(file.getvalue())
    for key in ("dpi", "gamma", "Title", "Comment", "icc_profile", "exif", "xmp"):
        assert decoded.info[key] == info[key]
    again = io.BytesIO()
    opened.save(again, "ARPC", **OPTIONS)
    first, second = (read(data.getvalue()).chunks for data in (file, again))
    assert first == second
    assert info["codec"] == "hpac"


def test_what_pillow_alone_does_not_know_comes_back_to_it() -> None:
    data = arpc_codec.encode(write_exact(DESCRIBED), **OPTIONS)
    image = Image.open(io.BytesIO(data))
    assert (image.info["cicp"], image.info["photoshop"]) == ((12, 13, 0, 1), {0x0404: DESCRIBED.iptc})
    again = io.BytesIO()
    image.save(again, "ARPC", **OPTIONS)
    assert {chunk.name for chunk in read(again.getvalue()).chunks} == {chunk.name for chunk in read(data).chunks}
    aspect = Resolution(Fraction(4), Fraction(3), Unit.NONE)
    assert Image.open(io.BytesIO(with_chunk(to_chunk("resolution", aspect)))).info["aspect"] == (4, 3)


def test_pillow_warns_of_what_is_not_kept() -> None:
    out = io.BytesIO()
    Image.fromarray(RGB).save(out, "TIFF", tiffinfo={33432: "mine", 33550: (1.0, 1.0, 0.0)}, dpi=(300, 300))
    file = io.BytesIO()
    with pytest.warns(NoteWarning, match="TIFF tags not kept: ModelPixelScaleTag"):
        Image.open(out).save(file, "ARPC", **OPTIONS)
    opened = Image.open(file)
    assert (opened.info["Copyright"], opened.info["dpi"]) == ("mine", (300, 300))
    segment = struct.pack(">BBH", 0xFF, 0xEB, 6) + b"abc\0"
    with pytest.warns(NoteWarning, match="JPEG segments not kept: APP11 abc"):
        Image.open(io.BytesIO(jpeg()[:20] + segment + jpeg()[20:])).save(io.BytesIO(), "ARPC", **OPTIONS)


def test_metadata_that_is_given_replaces_that_in_texts() -> None:
    profile = PngImagePlugin.PngInfo()
    profile.add_text(
        "Raw profile type exif", f"\nexif\n{len(DESCRIBED.exif or b''):8}\n{(DESCRIBED.exif or b'').hex()}\n"
    )
    out, file = io.BytesIO(), io.BytesIO()
    Image.fromarray(RGB).save(out, "PNG", pnginfo=profile)
    Image.open(out).save(file, "ARPC", **OPTIONS)
    assert [chunk.data for chunk in read(file.getvalue()).chunks] == [DESCRIBED.exif]
    Image.open(out).save(file := io.BytesIO(), "ARPC", exif=None, **OPTIONS)
    assert read(file.getvalue()).chunks == ()


def test_lossy_codecs_warn_too() -> None:
    with pytest.warns(NoteWarning, match="EXIF dropped"):
        arpc_codec.encode(write_exact(DESCRIBED), model="micro", scales=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        arpc_codec.encode(RGB, **OPTIONS)
        # Alpha costs bytes and loses nothing.
        arpc_codec.encode(Image.new("RGBA", (20, 16)), model="micro", scales=1)


def with_chunk(chunk: Chunk) -> bytes:
    """A lossless file with one chunk."""
    container = read(arpc_codec.encode(RGB, **OPTIONS))
    return write(type(container)(container.header, container.segments, (chunk,)))


@pytest.mark.parametrize(
    ("type_", "data"),
    [
        (ChunkType.GAMA, b"abc"),
        (ChunkType.RESOLUTION, b"\1\1\0\1\1"),
        (ChunkType.RESOLUTION, b"\7\1\1\1\1"),
        (ChunkType.TEXTS, b"\1a\0\0\1"),
        (ChunkType.TEXTS, b"\1a\0\0\1\xff"),
        (ChunkType.TEXTS, b""),
    ],
)
def test_a_damaged_chunk_costs_that_chunk(arpc: Run, type_: ChunkType, data: bytes, tmp_path: Path) -> None:
    file = with_chunk(Chunk(type_, data))
    result = arpc("decode", "-", "-o", tmp_path / "a.png", stdin=file)
    name = type_.name.lower()
    assert result.exit_code == 3
    assert f"damaged: the samples are right, but the chunk {name} is damaged; picture written" in result.stderr
    assert read_exact(tmp_path / "a.png") == ExactPicture(RGB)
    with pytest.raises(FormatError, match=name):
        arpc_codec.decode(file)
    image = Image.open(io.BytesIO(file))
    with pytest.raises(OSError, match=name):
        image.load()


def test_a_chunk_of_later_versions_is_passed_over(arpc: Run, tmp_path: Path) -> None:
    file = with_chunk(Chunk(0x0D, b"later"))
    assert arpc("decode", "-", "-o", tmp_path / "a.png", stdin=file).exit_code == 0
    assert read_exact(tmp_path / "a.png") == ExactPicture(RGB)
    assert read(arpc("truncate", "-", "-o", "-", "-k", "1", stdin=file).stdout_bytes).chunks == (Chunk(0x0D, b"later"),)


def test_a_hint_for_jpeg_files_is_given_once(arpc: Run, tmp_path: Path) -> None:
    names = [tmp_path / "in" / name for name in ("a.jpg", "b.jpg", "c.png")]
    names[0].parent.mkdir()
    for path in names:
        path.write_bytes(write_exact(ExactPicture(RGB)) if path.suffix == ".png" else jpeg())
    assert arpc("encode", *names, "--out-dir", tmp_path / "x", *MODEL).stderr.count("cjxl") == 1
    assert arpc("encode", tmp_path / "in", "--out-dir", tmp_path / "y", *MODEL).stderr.count("cjxl") == 1
    assert "cjxl" not in arpc("encode", names[0], "-o", "-", "-q", *MODEL).stderr
    assert "cjxl" not in arpc("encode", names[2], "-o", "-", *MODEL).stderr
    assert "cjxl" not in arpc("encode", names[0], "-o", "-", "-m", "micro", "-k", "1").stderr
    with pytest.warns(NoteWarning, match="cjxl"):
        arpc_codec.encode(names[0], **OPTIONS)
