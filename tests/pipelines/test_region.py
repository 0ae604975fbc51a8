"""A part of a picture: byte for byte what the whole one has there, without computing the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.codecs.filling import Filling
from arpc_codec.codecs.hpac import HpacCodec
from arpc_codec.codecs.progic import ProgicCodec
from arpc_codec.container import read, truncate
from arpc_codec.errors import FormatError, UsageError
from arpc_codec.imageio import ExactPicture
from arpc_codec.tile import Region, Tile, region_tile

Picture = Callable[..., np.ndarray]


def cut_out(pixels: np.ndarray, region: Region) -> np.ndarray:
    x, y, width, height = region
    return pixels[y : y + height, x : x + width]


def regions(width: int, height: int) -> list[Region]:
    """Corners, single pixels, lines, what crosses borders of cells, tiles and windows, and all."""
    middle = (width // 2 - 13, height // 2 - 7, 33, 19)
    last = (width - 1, height - 1, 1, 1)
    return [(0, 0, 1, 1), last, (5, 0, 3, height), (0, height - 9, width, 2), middle, (0, 0, width, height)]


def counted(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> list[None]:
    """A list with one entry for every call of a method."""
    calls: list[None] = []
    plain = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda self, *args: calls.append(None) or plain(self, *args))
    return calls


@pytest.mark.parametrize(("model", "fill"), [("micro", "mean"), ("micro_planes", "sample")])
def test_arpc(
    model: str,
    fill: str,
    picture: Picture,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """Three tiles and many windows; scales are missing, so that what is made up has to be the same, too."""
    monkeypatch.setattr("arpc_codec.codecs.arpc.WINDOW", 8)
    codec = ArpcCodec(request.getfixturevalue(model).bundle)
    container = read(codec.encode(picture(90, 1701), scales=5).data)
    whole = codec.decode(container, filling=Filling(fill, seed=7)).pixels
    walked = counted(monkeypatch, ArpcCodec, "_decode_scales")
    for region in regions(1701, 90):
        walked.clear()
        part = codec.decode(container, filling=Filling(fill, seed=7), region=region)
        assert np.array_equal(part.pixels, cut_out(whole, region)), region
        # Only a region that spans them all needs more than one.
        assert len(walked) == {1701: 3}.get(region[2], 1), region
    steps = [step.pixels for step in codec.steps(container, filling=Filling(fill, seed=7), region=(801, 20, 50, 60))]
    assert len(steps) == 5
    assert np.array_equal(steps[-1], cut_out(whole, (801, 20, 50, 60)))


def test_arpc_in_one_tile(micro: ArpcCodec, picture: Picture) -> None:
    container = read(micro.encode(picture(90, 75)).data)
    whole = micro.decode(container).pixels
    for region in regions(75, 90):
        assert np.array_equal(micro.decode(container, region=region).pixels, cut_out(whole, region))
        *_, last = micro.steps(container, region=region)
        assert np.array_equal(last.pixels, cut_out(whole, region))


def test_arpc_resampled(headed: ArpcCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of published sizes decodes the whole of its small picture and enlarges a part."""
    container = read(headed.encode(picture(40, 70), scales=3).data)
    large = replace(container, header=replace(container.header, height=400, width=700))
    for found in (container, large):
        width, height = found.header.width, found.header.height
        monkeypatch.setattr("arpc_codec.codecs.layout.STRIP_PIXELS", 40_000)
        whole = headed.decode(found, filling=Filling("none")).pixels
        for region in regions(width, height):
            part = headed.decode(found, filling=Filling("none"), region=region).pixels
            assert np.array_equal(part, cut_out(whole, region)), region


@pytest.mark.parametrize("model", ["micro_progic", "micro_coded"])
def test_progic(model: str, picture: Picture, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr("arpc_codec.codecs.progic.WINDOW", 4)
    codec: ProgicCodec = request.getfixturevalue(model)
    container = read(codec.encode(picture(305, 530)).data)
    whole = codec.decode(container, scales=2).pixels
    run = counted(monkeypatch, type(codec.network.decoder), "forward")
    for region in regions(530, 305):
        run.clear()
        part = codec.decode(container, scales=2, region=region)
        assert np.array_equal(part.pixels, cut_out(whole, region)), region
        x, y, width, height = region
        touched = ((x + width - 1) // 64 - x // 64 + 1) * ((y + height - 1) // 64 - y // 64 + 1)
        assert len(run) == touched, region
    *_, two, _ = codec.steps(container, region=(300, 41, 65, 66))
    assert np.array_equal(two.pixels, cut_out(whole, (300, 41, 65, 66)))


@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (3, np.uint8), (4, np.uint8), (2, np.uint16)])
def test_hpac(micro_lossless: HpacCodec, channels: int, dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 16, those at the edges smaller."""
    samples = np.random.default_rng(3).integers(0, np.iinfo(dtype).max, (41, 70, channels), dtype)
    samples[8:20] = samples[8]
    container = read(micro_lossless.encode(ExactPicture(samples, exif=b"exif")))
    done: list[int] = []
    for region in regions(70, 41):
        done.clear()
        found = micro_lossless.decode(container, region=region, progress=lambda now, of: done.append(of))
        assert np.array_equal(found.picture.samples, cut_out(samples, region))
        assert (found.picture.exif, found.damage, found.cut) == (b"exif", "", "")
        x, y, width, height = region
        touched = ((x + width - 1) // 16 - x // 16 + 1) * ((y + height - 1) // 16 - y // 16 + 1)
        assert done[-1] == touched * (1 if channels in (1, 3) else 2)


def test_hpac_damaged_and_cut(micro_lossless: HpacCodec) -> None:
    """Damage elsewhere leaves the region as it is; what is inside is said as of the whole picture."""
    samples = np.random.default_rng(3).integers(0, 256, (32, 64, 3), np.uint8)
    data = micro_lossless.encode(ExactPicture(samples))
    broken = bytearray(data)
    broken[-100] ^= 1
    container = read(bytes(broken))
    first, last = (3, 4, 10, 9), (50, 20, 14, 12)
    good = micro_lossless.decode(container, region=first)
    assert np.array_equal(good.picture.samples, cut_out(samples, first))
    assert good.damage == "the samples are right, but metadata, caption, other tiles or file check are not"
    with pytest.raises(FormatError, match="every tile of the region"):
        micro_lossless.decode(container, region=last)
    short = read(data[: len(data) * 2 // 3])
    early = micro_lossless.decode(short, region=first)
    assert np.array_equal(early.picture.samples, cut_out(samples, first))
    assert (early.damage, "did not arrive" in early.cut) == ("", True)
    with pytest.raises(FormatError, match="no tile of the region"):
        micro_lossless.decode(short, region=last)


def test_a_cut_file_has_regions_too(micro_progic: ProgicCodec, picture: Picture) -> None:
    data = micro_progic.encode(picture(48, 64)).data
    container, region = read(data[:-5]), (7, 8, 30, 31)
    part, shorter = micro_progic.decode(container, region=region), read(truncate(data, scales=2))
    assert (part.scales, part.sent) == (2, 3)
    assert np.array_equal(part.pixels, cut_out(micro_progic.decode(shorter).pixels, region))


@pytest.mark.parametrize(
    "region",
    [(0, 0, 0, 5), (0, 0, 5, -1), (-1, 0, 5, 5), (60, 0, 5, 5), (0, 48, 1, 1), (1, 2, 3), "all", (0, 0, 1, 1.5)],
)
def test_regions_outside_are_refused(
    micro: ArpcCodec, micro_progic: ProgicCodec, micro_lossless: HpacCodec, picture: Picture, region: Region
) -> None:
    pixels = picture(48, 64)
    for codec, source in ((micro, pixels), (micro_progic, pixels), (micro_lossless, ExactPicture(pixels))):
        encoded = codec.encode(source)  # type: ignore[attr-defined]
        container = read(encoded if isinstance(encoded, bytes) else encoded.data)
        with pytest.raises(UsageError, match=r"region"):
            codec.decode(container, region=region)  # type: ignore[attr-defined]


def test_rectangles() -> None:
    tile = Tile(10, 20, 30, 40)
    assert region_tile(None, 7, 9) == Tile(0, 0, 7, 9)
    assert region_tile((20, 10, 40, 30), 40, 60) == tile
    assert tile.meet(Tile(39, 59, 5, 5)) == Tile(39, 59, 1, 1)
    assert tile.meet(Tile(40, 20, 5, 5)) is None
    assert tile.within(Tile(4, 5, 90, 90)) == Tile(6, 15, 30, 40)
    assert tile.times(16) == Tile(160, 320, 480, 640)
