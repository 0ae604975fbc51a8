"""The lossless payload: samples -> value tables -> tiles -> the prior's streams -> bytes, and back.

    payload = CRC-32 of the samples, value tables and adapter of each group, then every tile in raster order:
    check bytes of the tile's samples, and for each group the length, the way of coding and the data

A group is what one network sees: grey, RGB or alpha.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ..container.cursor import Cursor
from ..container.varint import encode_varint
from ..errors import FormatError
from .adaptation import fit, read_adapter, write_adapter
from .pixeltiles import PixelCoder
from .stored import deflated, raw, read_deflated, read_raw
from .values import Values, choose, pack, read_values, unpack, write_values

RAW, PRIOR, DEFLATED = 0, 1, 2
# Tiles that are walked together; more of them are faster and take more memory.
TOGETHER = 8
CHECK_BYTES = 2
# Tiles of one shape that an adapter is fitted on, spread over the picture.
FITTED = 12

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Tile:
    """A rectangle of samples."""

    top: int
    left: int
    height: int
    width: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Index of its samples."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


@dataclass(frozen=True)
class Lossless:
    """samples [H, W, C]; damaged: tiles that are lost and hold zeros. sound: the CRC of all samples is right."""

    samples: np.ndarray
    damaged: tuple[Tile, ...]
    sound: bool


def groups(channels: int) -> tuple[tuple[int, ...], ...]:
    """Channels of each group: grey or RGB, then alpha."""
    return {1: ((0,),), 2: ((0,), (1,)), 3: ((0, 1, 2),), 4: ((0, 1, 2), (3,))}[channels]


def tiles(height: int, width: int, side: int) -> list[Tile]:
    """Tiles of `side` in raster order; those at the right and bottom edge may be smaller."""
    return [
        Tile(top, left, min(side, height - top), min(side, width - left))
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]


def encode(
    samples_hwc: np.ndarray,
    coders: Mapping[int, PixelCoder],
    side: int,
    *,
    adapt: int = 0,
    progress: Progress = lambda done, of: None,
) -> bytes:
    """Payload of uint8 or uint16 samples; `coders`: the prior for groups of 1 and of 3 channels.

    adapt: steps of fitting the prior to the picture; an adapter is used where it makes the payload smaller.
    """
    height, width, channels = samples_hwc.shape
    layout, plan = tiles(height, width, side), groups(channels)
    head, packed, coded = bytearray(_checksum(samples_hwc).to_bytes(4, "big")), [], []
    count = _counter(len(layout) * len(plan) * (2 if adapt else 1), progress)
    for group in plan:
        values = choose(samples_hwc[..., list(group)])
        part = pack(samples_hwc[..., list(group)], values)
        coder, adapter = coders[len(group)], b""
        segments = _encode_group(part, values.bits, coder, layout, count)
        if adapt:
            found = fit(coder.config, coder.state, _spread(part, layout), values.bits, part.size, adapt)
            written = write_adapter(found)
            own = _encode_group(part, values.bits, coder.adapted(found), layout, count)
            if sum(map(len, own.values())) + len(written) < sum(map(len, segments.values())):
                adapter, segments = written, own
        head += write_values(values) + encode_varint(len(adapter)) + adapter
        packed.append(part)
        coded.append(segments)
    out = bytearray(head)
    for tile in layout:
        out += _check([part[tile.window] for part in packed])
        for segments in coded:
            out += encode_varint(len(segments[tile])) + segments[tile]
    return bytes(out)


def _counter(total: int, progress: Progress) -> Callable[[int], None]:
    """Call with a number of tiles that are done."""
    done = 0

    def count(tiles_done: int) -> None:
        nonlocal done
        done += tiles_done
        progress(done, total)

    return count


def _encode_group(
    part: np.ndarray, bits: int, coder: PixelCoder, layout: list[Tile], count: Callable[[int], None]
) -> dict[Tile, bytes]:
    coded = {}
    for batch in _batches(layout):
        stack = np.stack([part[tile.window] for tile in batch])
        for tile, own, stream in zip(batch, stack, coder.encode(stack, bits), strict=True):
            coded[tile] = _shortest(own, bits, stream)
        count(len(batch))
    return coded


def _spread(part: np.ndarray, layout: list[Tile]) -> np.ndarray:
    """Some tiles of the first tile's shape, from all over the picture."""
    same = [tile for tile in layout if (tile.height, tile.width) == (layout[0].height, layout[0].width)]
    chosen = same[:: -(-len(same) // FITTED)]
    return np.stack([part[tile.window] for tile in chosen])


def decode(
    payload: bytes,
    shape: tuple[int, int, int],
    dtype: type[np.unsignedinteger],
    coders: Mapping[int, PixelCoder],
    side: int,
    progress: Progress = lambda done, of: None,
) -> Lossless:
    """Samples [H, W, C]. Raises FormatError when nothing can be used; damage inside tiles is in the result."""
    cursor, depth = Cursor(payload), 8 * np.dtype(dtype).itemsize
    checksum = int.from_bytes(cursor.take(4), "big")
    layout, plan = tiles(*shape[:2], side), []
    for group in groups(shape[2]):
        values, adapter = read_values(cursor, len(group), depth), cursor.take(cursor.varint())
        coder = coders[len(group)]
        if adapter:
            coder = coder.adapted(read_adapter(adapter, coder.config, coder.state))
        plan.append((coder, values))
    found = _segments(cursor, layout, len(plan))
    packed = [np.zeros((*shape[:2], coder.config.channels), np.int32) for coder, _ in plan]
    lost = {tile for tile in layout if tile not in found}
    count = _counter(len(found) * len(plan), progress)
    for place, (coder, values) in enumerate(plan):
        for batch in _batches([tile for tile in layout if tile in found]):
            data = {tile: found[tile][1][place] for tile in batch}
            for tile, part in _decode_batch(data, values, coder):
                if part is None:
                    lost.add(tile)
                else:
                    packed[place][tile.window] = part
            count(len(batch))
    for tile, (check, _) in found.items():
        if _check([part[tile.window] for part in packed]) != check:
            lost.add(tile)
    for part in packed:
        for tile in lost:
            part[tile.window] = 0
    samples = np.concatenate([unpack(p, values, dtype) for p, (_, values) in zip(packed, plan, strict=True)], -1)
    sound = not lost and not cursor.remaining and _checksum(samples) == checksum
    return Lossless(samples, tuple(tile for tile in layout if tile in lost), sound)


def _segments(cursor: Cursor, layout: list[Tile], parts: int) -> dict[Tile, tuple[bytes, list[bytes]]]:
    """(check, data of each group) of every tile that is there as a whole."""
    found: dict[Tile, tuple[bytes, list[bytes]]] = {}
    try:
        for tile in layout:
            check = cursor.take(CHECK_BYTES)
            found[tile] = check, [cursor.take(cursor.varint()) for _ in range(parts)]
    except FormatError:
        found.pop(tile, None)
    return found


def _decode_batch(
    data: Mapping[Tile, bytes], values: Values, coder: PixelCoder
) -> Iterator[tuple[Tile, np.ndarray | None]]:
    """Samples of tiles of one shape; None for a damaged one."""
    walked = [tile for tile, segment in data.items() if segment[:1] == bytes([PRIOR])]
    for tile, segment in data.items():
        if tile in walked:
            continue
        readers = {RAW: read_raw, DEFLATED: read_deflated}
        try:
            if not segment or segment[0] not in readers:
                raise FormatError("unknown way of coding a tile")
            yield tile, readers[segment[0]](segment[1:], (tile.height, tile.width, coder.config.channels), values.bits)
        except FormatError:
            yield tile, None
    if walked:
        shape = (walked[0].height, walked[0].width)
        stack, broken = coder.decode([data[tile][1:] for tile in walked], shape, values.bits)
        for index, tile in enumerate(walked):
            yield tile, None if index in broken else stack[index]


def _batches(layout: list[Tile]) -> Iterator[list[Tile]]:
    """Tiles of one shape, at most TOGETHER."""
    for shape in dict.fromkeys((tile.height, tile.width) for tile in layout):
        same = [tile for tile in layout if (tile.height, tile.width) == shape]
        for first in range(0, len(same), TOGETHER):
            yield same[first : first + TOGETHER]


def _shortest(tile_hwc: np.ndarray, bits: int, stream: bytes) -> bytes:
    ways = [bytes([PRIOR]) + stream, bytes([DEFLATED]) + deflated(tile_hwc, bits)]
    if min(map(len, ways)) > tile_hwc.size * bits // 8:
        ways.append(bytes([RAW]) + raw(tile_hwc, bits))
    return min(ways, key=len)


def _check(parts: list[np.ndarray]) -> bytes:
    value = 0
    for part in parts:
        value = zlib.crc32(np.ascontiguousarray(part, "<i4").tobytes(), value)
    return value.to_bytes(4, "big")[:CHECK_BYTES]


def _checksum(samples_hwc: np.ndarray) -> int:
    kind = "<u2" if samples_hwc.dtype == np.uint16 else "u1"
    return zlib.crc32(np.ascontiguousarray(samples_hwc, kind).tobytes())
