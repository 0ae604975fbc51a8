"""The lossless payload: samples -> value tables -> tiles -> the prior's streams -> bytes, and back.

    payload = CRC-32 of the samples, value tables and adapter of each group, then every tile in raster order:
    check bytes of the tile's samples, and for each group the length, the way of coding and the data

A group is what one network sees: grey, RGB or alpha.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np

from arpc_codec.codecs.hands import Stop, share
from arpc_codec.codecs.pixeltiles import PixelCoder
from arpc_codec.codecs.stored import deflated, read_deflated
from arpc_codec.codecs.values import Values, choose, pack, read_values, unpack, write_values
from arpc_codec.container.cursor import Cursor
from arpc_codec.container.varint import CutError, encode_varint
from arpc_codec.entropy import pack_bits, unpack_bits
from arpc_codec.errors import FormatError
from arpc_codec.prior.adapter import read_adapter, write_adapter
from arpc_codec.tile import Tile

RAW, PRIOR, DEFLATED = 0, 1, 2
# Tiles that are walked together; more of them are faster and take more memory.
TOGETHER = 8
CHECK_BYTES = 2
# Tiles of one shape that an adapter is fitted on, spread over the picture.
FITTED = 12
# Steps of fitting that take as long as one tile: progress is counted in tiles.
STEPS_PER_TILE = 12

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Lossless:
    """samples [H, W, C], those asked for; zeros where a tile is `missing` (cut off) or `damaged` (its check fails).

    missing: of the whole picture. sound: nothing is lost or left over, and the CRC-32 of all samples is right, where
    all were asked for.
    """

    samples: np.ndarray
    damaged: tuple[Tile, ...]
    missing: tuple[Tile, ...]
    sound: bool


def groups(channels: int) -> tuple[tuple[int, ...], ...]:
    """Channels of each group: grey or RGB, then alpha."""
    return {1: ((0,),), 2: ((0,), (1,)), 3: ((0, 1, 2),), 4: ((0, 1, 2), (3,))}[channels]


def tiles(height: int, width: int, side: int) -> Iterator[Tile]:
    """Tiles of `side` in raster order; those at the right and bottom edge may be smaller."""
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield Tile(top, left, min(side, height - top), min(side, width - left))


def encode(
    samples_hwc: np.ndarray,
    coders: Mapping[int, PixelCoder],
    side: int,
    *,
    adapt: int = 0,
    progress: Progress = lambda done, of: None,
    hands: int = 1,
) -> bytes:
    """Payload of uint8 or uint16 samples; `coders`: the prior for groups of 1 and of 3 channels.

    adapt: steps of fitting the prior to the picture; an adapter is used where it makes the payload smaller. hands:
    threads that work on it.
    """
    height, width, channels = samples_hwc.shape
    layout, plan = list(tiles(height, width, side)), groups(channels)
    head, coded = bytearray(_checksum(samples_hwc)), []
    ways = 2 if adapt else 1
    count = _counter(len(plan) * (ways * len(layout) + adapt // STEPS_PER_TILE), progress)
    for group in plan:
        # A view: samples are packed tile by tile.
        part = samples_hwc[..., group[0] : group[-1] + 1]
        values = choose(part)
        coder, adapter = coders[len(group)], b""
        segments = _encode_group(part, values, coder, layout, count, hands)
        if adapt:
            from arpc_codec.codecs.adaptation import fit

            fitted = pack(_spread(part, layout), values)
            found = fit(coder.config, coder.state, fitted, values.bits, part.size, adapt, partial(_count_step, count))
            written = write_adapter(found)
            own = _encode_group(part, values, coder.adapted(found), layout, count, hands)
            if sum(map(len, own.values())) + len(written) < sum(map(len, segments.values())):
                adapter, segments = written, own
        head += write_values(values) + encode_varint(len(adapter)) + adapter
        coded.append(segments)
    out = bytearray(head)
    for tile in layout:
        out += _checksum(samples_hwc[tile.window])[:CHECK_BYTES]
        for segments in coded:
            out += encode_varint(len(segments[tile])) + segments[tile]
    return bytes(out)


def _counter(total: int, progress: Progress) -> Callable[[int], None]:
    """Call with a number of tiles that are done."""
    done = 0
    progress(0, total)

    def count(tiles_done: int) -> None:
        nonlocal done
        done += tiles_done
        progress(done, total)

    return count


def _count(count: Callable[[int], None], batches: list[list[Tile]], index: int) -> None:
    count(len(batches[index]))


def _count_step(count: Callable[[int], None], steps_done: int) -> None:
    if steps_done % STEPS_PER_TILE == 0:
        count(1)


def _encode_group(
    part: np.ndarray, values: Values, coder: PixelCoder, layout: list[Tile], count: Callable[[int], None], hands: int
) -> dict[Tile, bytes]:
    batches = list(_batches(layout, hands))
    jobs = ((coder, pack(np.stack([part[tile.window] for tile in batch]), values), values.bits) for batch in batches)
    coded = share(_encode_tiles, jobs, hands, partial(_count, count, batches))
    return {
        tile: data
        for batch, segments in zip(batches, coded, strict=True)
        for tile, data in zip(batch, segments, strict=True)
    }


def _encode_tiles(coder: PixelCoder, stack_bhwc: np.ndarray, bits: int, stop: Stop) -> list[bytes]:
    streams = coder.encode(stack_bhwc, bits, stop)
    return [_shortest(own, bits, stream) for own, stream in zip(stack_bhwc, streams, strict=True)]


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
    hands: int = 1,
    area: Tile | None = None,
) -> Lossless:
    """Samples [H, W, C] of a payload, whole or cut; hands: threads that work on it. area: only the samples in it.

    Raises FormatError when not even one of their tiles is good.
    """
    cursor, depth, plan = Cursor(payload), 8 * np.dtype(dtype).itemsize, []
    try:
        checksum = cursor.take(4)
        for group in groups(shape[2]):
            values, adapter = read_values(cursor, len(group), depth), cursor.take(cursor.varint())
            coder = coders[len(group)]
            if adapter:
                coder = _adapted(coder, adapter)
            plan.append((group, values, coder))
    except CutError as error:
        raise FormatError("no tile of the picture has arrived") from error
    arrived = _segments(cursor, tiles(*shape[:2], side), len(plan))
    whole = Tile(0, 0, *shape[:2])
    area = area or whole
    asked = "picture" if area == whole else "region"
    found = {tile: data for tile, data in arrived.items() if tile.meet(area)}
    if not found:
        raise FormatError(f"no tile of the {asked} has arrived")
    # Only now: a few bytes may claim a picture of a million tiles.
    layout = list(tiles(*shape[:2], side))
    count = _counter(len(found) * len(plan), progress)
    decoded: list[dict[Tile, np.ndarray]] = []
    for place, (_, values, coder) in enumerate(plan):
        batches = list(_batches(list(found), hands))
        jobs = [({tile: found[tile][1][place] for tile in batch}, values, dtype, coder) for batch in batches]
        parts = share(_decode_tiles, jobs, hands, partial(_count, count, batches))
        decoded.append({tile: part for batch in parts for tile, part in batch.items()})
    samples, damaged = np.zeros((area.height, area.width, shape[2]), dtype), []
    for tile, (check, _) in found.items():
        own = np.zeros((tile.height, tile.width, shape[2]), dtype)
        for (group, _, _), of_group in zip(plan, decoded, strict=True):
            if tile in of_group:
                own[..., list(group)] = of_group.pop(tile)
        # What could not be decoded is still 0, so the check of its tile tells.
        if _checksum(own)[:CHECK_BYTES] != check:
            damaged.append(tile)
        elif inside := tile.meet(area):
            samples[inside.within(area).window] = own[inside.within(tile).window]
    if len(damaged) == len(found):
        raise FormatError(f"every tile of the {asked} is damaged")
    sound = len(arrived) == len(layout) and not damaged and not cursor.remaining
    sound = sound and (area != whole or _checksum(samples) == checksum)
    return Lossless(samples, tuple(damaged), tuple(layout[len(arrived) :]), sound)


def _adapted(coder: PixelCoder, adapter: bytes) -> PixelCoder:
    try:
        return coder.adapted(read_adapter(adapter, coder.config, coder.state))
    except CutError as error:
        # How long it is is told before it, so this is not where the file ends.
        raise FormatError("the adapter is damaged") from error


def _segments(cursor: Cursor, layout: Iterable[Tile], parts: int) -> dict[Tile, tuple[bytes, list[bytes]]]:
    """(check, data of each group) of every tile that is there as a whole."""
    found: dict[Tile, tuple[bytes, list[bytes]]] = {}
    # Where the file ends early.
    with suppress(FormatError):
        for tile in layout:
            check = cursor.take(CHECK_BYTES)
            found[tile] = check, [cursor.take(cursor.varint()) for _ in range(parts)]
    return found


def _decode_tiles(
    data: Mapping[Tile, bytes], values: Values, dtype: type[np.unsignedinteger], coder: PixelCoder, stop: Stop
) -> dict[Tile, np.ndarray]:
    """Samples of tiles of one shape; those whose data is impossible are left out."""
    ranks: dict[Tile, np.ndarray] = {}
    for tile, segment in data.items():
        for way, read in ((RAW, unpack_bits), (DEFLATED, read_deflated)):
            if segment[:1] == bytes([way]):
                with suppress(FormatError):
                    ranks[tile] = read(segment[1:], (tile.height, tile.width, coder.config.channels), values.bits)
    walked = [tile for tile, segment in data.items() if segment[:1] == bytes([PRIOR])]
    if walked:
        streams = [data[tile][1:] for tile in walked]
        stack, broken = coder.decode(streams, (walked[0].height, walked[0].width), values.bits, stop)
        ranks |= {tile: stack[index] for index, tile in enumerate(walked) if index not in broken}
    samples = {}
    for tile, part in ranks.items():
        with suppress(FormatError):
            samples[tile] = unpack(part, values, dtype)
    return samples


def _batches(layout: list[Tile], hands: int) -> Iterator[list[Tile]]:
    """Tiles of one shape, at most TOGETHER, and fewer where that gives every hand something to do."""
    together = max(1, min(TOGETHER, -(-len(layout) // hands)))
    for shape in dict.fromkeys((tile.height, tile.width) for tile in layout):
        same = [tile for tile in layout if (tile.height, tile.width) == shape]
        for first in range(0, len(same), together):
            yield same[first : first + together]


def _shortest(tile_hwc: np.ndarray, bits: int, stream: bytes) -> bytes:
    ways = [bytes([PRIOR]) + stream, bytes([DEFLATED]) + deflated(tile_hwc, bits)]
    if min(map(len, ways)) > tile_hwc.size * bits // 8:
        ways.append(bytes([RAW]) + pack_bits(tile_hwc, bits))
    return min(ways, key=len)


def _checksum(samples_hwc: np.ndarray) -> bytes:
    """CRC-32 of samples: row by row, channels of a pixel together, 16 bits low byte first."""
    kind = "<u2" if samples_hwc.dtype == np.uint16 else "u1"
    return zlib.crc32(np.ascontiguousarray(samples_hwc, kind).data).to_bytes(4, "big")
