"""What `arpc_codec` takes as a file, and what it says to everything else."""

from __future__ import annotations

import array
import mmap
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import arpc_codec
from arpc_codec.container import truncate
from arpc_codec.errors import UsageError
from arpc_codec.packets import split

RGB = np.add.outer(np.arange(24), 5 * np.arange(3 * 33)).astype(np.uint8).reshape(24, 33, 3)
MICRO, LOSSLESS = {"model": "micro", "scales": 2}, {"model": "micro-lossless", "lossless": True}

Make = Callable[[Path], Any]


def mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


class Pipe:
    """What has nothing but `read`."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self) -> bytes:
        return self.data


SOURCES: dict[str, Make] = {
    "bytes": Path.read_bytes,
    "path": lambda path: path,
    "str": str,
    "file": lambda path: BytesIO(path.read_bytes()),
    "opened": lambda path: path.open("rb"),
    "pipe": lambda path: Pipe(path.read_bytes()),
    "bytearray": lambda path: bytearray(path.read_bytes()),
    "memoryview": lambda path: memoryview(path.read_bytes()),
    "array": lambda path: array.array("B", path.read_bytes()),
    "mmap": mapped,
    "every second": lambda path: memoryview(bytes(b for byte in path.read_bytes() for b in (byte, 0)))[::2],
}


@pytest.fixture(autouse=True)
def home(micro: object, micro_lossless: object, micro_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARPC_HOME", str(micro_home))


@pytest.fixture
def coded(tmp_path: Path) -> Path:
    path = tmp_path / "a.arpc"
    path.write_bytes(arpc_codec.encode(RGB, **MICRO))
    return path


@pytest.mark.parametrize("make", SOURCES.values(), ids=list(SOURCES))
def test_files_in_whatever_form(make: Make, coded: Path, tmp_path: Path) -> None:
    data = coded.read_bytes()
    expected = np.asarray(arpc_codec.decode(data))
    assert np.array_equal(np.asarray(arpc_codec.decode(make(coded))), expected)
    assert np.array_equal(arpc_codec.decode_array(make(coded)), expected)
    assert arpc_codec.info(make(coded)) == arpc_codec.info(data)
    assert np.array_equal(np.asarray(arpc_codec.Codec.load("micro").decode(make(coded))), expected)
    picture = tmp_path / "a.png"
    Image.fromarray(RGB).save(picture)
    assert arpc_codec.encode(make(picture), **MICRO) == data
    # A corner is enough: lossless files take their time.
    Image.fromarray(RGB[:4, :5]).save(picture)
    assert np.array_equal(arpc_codec.decode_array(arpc_codec.encode(make(picture), **LOSSLESS)), RGB[:4, :5])


def test_streams_are_read_from_where_they_stand(coded: Path) -> None:
    file = BytesIO(b"before" + coded.read_bytes())
    file.seek(6)
    assert arpc_codec.info(file).width == 33


@pytest.mark.parametrize(
    "source", [None, 5, [1, 2], {}, StringIO("text"), object()], ids=lambda source: type(source).__name__
)
def test_anything_else_is_refused_in_one_line(source: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: arpc_codec.decode(source),
        lambda: arpc_codec.decode_array(source),
        lambda: arpc_codec.info(source),
        lambda: arpc_codec.encode(source, **MICRO),
        lambda: arpc_codec.encode(source, **LOSSLESS),
        lambda: arpc_codec.Codec.load("micro").decode(source),
        lambda: arpc_codec.Decoder().feed(source),
    ]
    words = r"^a file is given as bytes, by its path or as a binary stream, not as \w+$"
    for call in calls:
        with pytest.raises(UsageError, match=words):
            call()


def test_pieces_are_bytes_and_not_names(coded: Path) -> None:
    decoder = arpc_codec.Decoder()
    assert decoder.feed(memoryview(coded.read_bytes())) is not None
    with pytest.raises(UsageError, match="not as str"):
        arpc_codec.Decoder().feed(str(coded))  # type: ignore[arg-type]


def test_names_that_lead_nowhere(coded: Path) -> None:
    for call in (arpc_codec.decode, arpc_codec.info, arpc_codec.encode):
        with pytest.raises(FileNotFoundError):
            call(coded.parent / "none")
        with pytest.raises(IsADirectoryError):
            call(str(coded.parent))
        with pytest.raises(UsageError, match="is no path"):
            call("a\0b")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scales": 2.5}, "scales must be a whole number, not 2.5"),
        ({"scales": "2"}, "scales must be a whole number, not '2'"),
        ({"seed": 0.5}, "seed must be a whole number, not 0.5"),
        ({"seed": None}, "seed must be a whole number, not None"),
        ({"guidance": "3"}, "guidance must be between 0 and 100, not '3'"),
    ],
)
def test_numbers_of_decoding(coded: Path, options: dict[str, Any], words: str) -> None:
    for call in (arpc_codec.decode, arpc_codec.decode_array):
        with pytest.raises(UsageError, match=words):
            call(coded, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "micro", "scales": 2.5}, "scales must be a whole number, not 2.5"),
        ({"model": "micro", "target_bytes": 99.5}, "target bytes must be a whole number, not 99.5"),
        ({"model": "micro", "target_bpp": "1"}, "target bpp must be a number above 0, not '1'"),
        ({"codec": "progic", "stages": 1.5}, "scales must be a whole number, not 1.5"),
        (LOSSLESS | {"adapt": 1.5}, "adapt must be a whole number, not 1.5"),
        (LOSSLESS | {"adapt": -1}, "adapt is a number of steps, not -1"),
        ({"caption": 5}, "a caption is text, not 5"),
    ],
)
def test_numbers_and_words_of_encoding(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        arpc_codec.encode(RGB, **options)


def test_numbers_of_numpy_are_numbers(coded: Path) -> None:
    assert arpc_codec.decode(coded, scales=np.int64(1)).size == (33, 24)
    assert arpc_codec.encode(RGB, model="micro", scales=np.uint8(2)) == coded.read_bytes()


def test_numbers_of_cutting(coded: Path) -> None:
    with pytest.raises(UsageError, match="scales must be a whole number"):
        truncate(coded.read_bytes(), scales=1.5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="mtu must be a whole number"):
        split(coded.read_bytes(), 99.5)  # type: ignore[arg-type]
