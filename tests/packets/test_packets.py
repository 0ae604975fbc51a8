"""Split and join: round trips, loss, damage, foreign packets, limits."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from arpc_codec.codecs.stages import ABSENT, read_stage
from arpc_codec.container import Chunk, ChunkType, Codec, read, truncate
from arpc_codec.container.captions import encode_caption
from arpc_codec.container.chunks import encode_chunks
from arpc_codec.errors import ArpcError, FormatError, TruncatedError, UnsupportedError, UsageError
from arpc_codec.packets import LARGEST, Kind, join, parse, sort_out, split, write
from arpc_codec.packets.packet import MAGIC
from arpc_codec.scales import latent_size

# Of the files of conftest.py.
FINGERPRINT = bytes(32)
ProgicFile = Callable[..., bytes]
NAMES = [
    *("arpc", "arpc, metadata", "arpc, conditioned", "arpc, conditioned, metadata"),
    *("hpac", "hpac, metadata"),
    *("progic", "progic, one stage", "progic, metadata", "progic, small", "progic, thin"),
]


def sealed(data: bytes) -> bytes:
    """The same packet with a check that fits."""
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "big")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mtu", [60, 100, 360, 1400, LARGEST])
@pytest.mark.parametrize(("interleave", "redundancy"), [(True, 0.0), (False, 0.3), (True, 2.5)])
def test_all_packets_in_any_order_and_twice_make_the_file(
    files: dict[str, bytes], name: str, mtu: int, interleave: bool, redundancy: float
) -> None:
    data = files[name]
    packets = split(data, mtu, interleave=interleave, redundancy=redundancy)
    assert max(map(len, packets)) <= mtu
    shuffled = random.Random(mtu).sample([*packets, *packets[:2]], len(packets) + len(packets[:2]))
    kept, rejected = sort_out(shuffled)
    assert (len(kept), rejected) == (len(shuffled), {})
    joined = join(kept)
    assert joined.data == data
    assert (joined.missing, joined.sound) == ("", True)


@pytest.mark.parametrize("name", NAMES)
def test_bytes_of_redundancy_are_counted(files: dict[str, bytes], name: str) -> None:
    plain = split(files[name], 200)
    size = sum(map(len, plain))
    for redundancy in (0.1, 0.25, 1.0):
        packets = split(files[name], 200, redundancy=redundancy)
        assert packets[: len(plain)] == plain
        extra = sum(map(len, packets)) - size
        assert extra <= redundancy * size
        assert len(packets) > len(plain) or redundancy * size < 200


def test_one_stage_of_256x256_fits_one_packet(progic_file: ProgicFile) -> None:
    data = progic_file(256, 256, 1)
    assert len(data) == 334
    (packet,) = split(data, 360)
    assert len(packet) == 343
    assert join([parse(packet)]).data == data


def test_a_packet_read_as_the_specification_says(progic_file: ProgicFile) -> None:
    """Byte by byte, positions by the rule of 5 packets, indices bit by bit."""
    data = progic_file(256, 256, 5)
    container = read(data)
    stages = [
        read_stage(segment, (16, 16), 1000, FINGERPRINT, stage).ravel()
        for stage, segment in enumerate(container.segments)
    ]
    packets = split(data, 360)
    assert len(packets) == 5
    for number, packet in enumerate(packets):
        assert packet[:3] == b"\xa7\x50" + bytes([0x08 | 5])
        assert packet[3:7] == zlib.crc32(data).to_bytes(4, "big")
        assert packet[7:14] == data[3:10]
        assert packet[14:18] == bytes([0, 4, number, 10])
        starts = [zlib.crc32(bytes([stage]), zlib.crc32(FINGERPRINT)) & 255 for stage in range(5)]
        assert list(packet[18:23]) == starts
        # Of five packets the columns and twice the rows: knight's moves.
        positions = [16 * row + col for row in range(16) for col in range(16) if (col + 2 * row) % 5 == number]
        bits = "".join(f"{byte:08b}" for byte in packet[23:-4])
        values = [int(bits[10 * at : 10 * at + 10], 2) for at in range(5 * len(positions))]
        assert values == [stage[position] for stage in stages for position in positions]
        assert set(bits[50 * len(positions) :]) <= {"0"}
        assert packet[-4:] == zlib.crc32(packet[:-4]).to_bytes(4, "big")


def depth_of(data: bytes, entries: int = 1000) -> np.ndarray:
    """How many stages each position of a ProGIC file has, by its own maps."""
    container = read(data)
    header = container.header
    shape = latent_size(header.height, header.width)
    stages = [
        read_stage(segment, shape, entries, FINGERPRINT, stage, header.holes)
        for stage, segment in enumerate(container.segments)
    ]
    return (np.stack(stages) != ABSENT).sum(0)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("redundancy", [0.0, 0.3])
def test_any_subset_gives_what_it_holds(progic_file: ProgicFile, seed: int, redundancy: float) -> None:
    data = progic_file(400, 300, 4, seed=seed)
    original = read(data)
    packets = split(data, 150, redundancy=redundancy)
    arrived = [packet for packet in packets if random.Random(f"{seed} {packet.hex()}").random() >= 0.2]
    joined = join(sort_out(arrived)[0])
    container = read(joined.data)
    # Good stages by their checks, which nobody could make without the starts.
    depth = depth_of(joined.data)
    for packet in map(parse, arrived):
        if not packet.is_parity:
            assert depth.flat[packet.partition.positions(packet.number)].min() >= packet.stages
    for stage, segment in enumerate(container.segments):
        there = depth > stage
        wanted = read_stage(original.segments[stage], depth.shape, 1000, FINGERPRINT, stage)
        found = read_stage(segment, depth.shape, 1000, FINGERPRINT, stage, container.header.holes)
        assert np.array_equal(found[there], wanted[there])
    assert bool(joined.missing) == (joined.data != data)
    lacks = [int((depth < stage).sum()) for stage in range(1, 5)]
    assert all(str(count) in joined.missing for count in lacks if count)
    # Files with holes are truncated as others are.
    assert depth_of(truncate(joined.data, scales=1)).max() == 1


def test_a_stage_of_repeats_alone_is_a_whole_file_of_one_stage(progic_file: ProgicFile) -> None:
    data = progic_file(256, 256, 5)
    packets = split(data, 360, redundancy=0.25)
    repeat = parse(packets[-1])
    assert (repeat.stages, repeat.count) == (1, 1)
    joined = join([repeat])
    assert joined.data == truncate(data, scales=1)
    assert joined.missing == "of 256 positions stages 2-5 lack 256"


def test_parities_replace_any_lost_packets(files: dict[str, bytes]) -> None:
    for name in ("hpac", "arpc"):
        plain = split(files[name], 100)
        packets = split(files[name], 100, redundancy=0.5)
        extra = len(packets) - len(plain)
        assert extra >= 2
        for seed in range(20):
            arrived = random.Random(seed).sample(packets, len(plain))
            assert join(sort_out(arrived)[0]).data == files[name]


def test_arpc_files_end_at_the_first_scale_with_a_missing_packet(files: dict[str, bytes]) -> None:
    data = files["arpc"]
    packets = split(data, 60)
    for lost in range(len(packets)):
        kept, _ = sort_out(packets[:lost] + packets[lost + 1 :])
        whole = sum(len(parse(packet).content) for packet in packets[:lost])
        scales, size = 0, 0
        for segment in read(data).segments:
            size += len(segment) + (1 if len(segment) < 128 else 2)
            scales += size <= whole
        if not scales:
            with pytest.raises(FormatError, match="not even scale 1"):
                join(kept)
            continue
        joined = join(kept)
        assert joined.data == truncate(data, scales=scales)
        assert joined.missing == f"1 of {len(packets)} packets missing: {scales} of 6 scales are there"


def test_lossless_files_end_at_the_first_missing_packet(files: dict[str, bytes]) -> None:
    data = files["hpac"]
    packets = split(data, 500)
    joined = join(sort_out(packets[:3] + packets[4:])[0])
    assert data.startswith(joined.data)
    container = read(joined.data)
    assert container.truncated
    assert len(container.rest) > 3 * (500 - 80)
    with pytest.raises(FormatError, match="the first one too"):
        join(sort_out(packets[1:])[0])


@pytest.mark.parametrize("name", ["arpc, metadata", "progic, metadata", "hpac, metadata"])
def test_metadata_may_be_lost(files: dict[str, bytes], name: str) -> None:
    packets = split(files[name], 360)
    metadata = [packet for packet in packets if parse(packet).kind is Kind.METADATA]
    assert packets[-len(metadata) :] == metadata
    for lost in metadata:
        joined = join(sort_out([packet for packet in packets if packet != lost])[0])
        container, original = read(joined.data), read(files[name])
        assert container.segments == original.segments
        assert (container.header, container.chunks) == (replace(original.header, caption=""), ())
        assert joined.missing.endswith("bytes of metadata are missing")
    # Chunks that a file of this codec cannot have are as good as lost.
    if name.startswith("hpac"):
        body = encode_caption("x") + encode_chunks((Chunk(ChunkType.ALPHA, b"alpha"),))
        alpha = write(replace(parse(metadata[0]), count=1, metadata=len(body), content=body))
        picture = [write(replace(parse(packet), metadata=len(body))) for packet in packets[: -len(metadata)]]
        assert f"{len(body)} bytes of metadata are missing" in join(sort_out([*picture, alpha])[0]).missing
    with pytest.raises(FormatError, match="nothing of the picture"):
        join(sort_out(metadata)[0])
    with pytest.raises(FormatError, match="no packet"):
        join([])


@pytest.mark.parametrize("name", ["arpc, conditioned", "arpc, conditioned, metadata"])
def test_a_caption_that_conditions_is_in_every_packet(files: dict[str, bytes], name: str) -> None:
    original = read(files[name]).header
    packets = split(files[name], 120)
    assert {parse(packet).header for packet in packets} == {original}
    # Nothing but the first packet has arrived, and no metadata.
    found = read(join(sort_out(packets[:1])[0]).data).header
    assert found == replace(original, scales=found.scales)
    assert found.scales < original.scales
    bare = parse(packets[0])
    with pytest.raises(UsageError, match="caption"):
        write(replace(bare, header=replace(bare.header, caption="")))
    # Any other caption is metadata.
    plain = replace(bare, header=replace(bare.header, conditioned=False))
    with pytest.raises(FormatError, match="facts"):
        parse(write(plain))


@pytest.mark.parametrize("name", ["progic, small", "arpc, metadata", "hpac"])
def test_every_changed_byte_is_noticed(files: dict[str, bytes], name: str) -> None:
    for packet in split(files[name], 100, redundancy=0.5)[-2:]:
        for at in range(len(packet)):
            for change in (1, 0x80, 0xFF):
                with pytest.raises(ArpcError):
                    parse(packet[:at] + bytes([packet[at] ^ change]) + packet[at + 1 :])
        for size in range(len(packet)):
            with pytest.raises(FormatError):
                parse(packet[:size])
        with pytest.raises(FormatError):
            parse(packet + b"\0")


def test_damaged_and_foreign_packets_are_rejected_one_by_one(progic_file: ProgicFile) -> None:
    data, other = progic_file(256, 256, 5), progic_file(256, 256, 5, seed=1)
    packets, foreign = split(data, 360), split(other, 360)
    damaged = packets[1][:50] + b"\0\0\0" + packets[1][53:]
    kept, rejected = sort_out([foreign[0], *packets, damaged, b"", b"no packet", foreign[1]])
    assert join(kept).data == data
    assert list(rejected) == [6, 7, 8, 0, 9]
    assert "check" in rejected[6]
    assert rejected[7] == rejected[8] == "not a packet"
    assert rejected[0] == rejected[9] == f"of another picture ({zlib.crc32(other):08x})"
    # Of two files with as many packets the first one wins.
    kept, rejected = sort_out([foreign[0], packets[0]])
    assert kept == [parse(foreign[0])]


def test_packets_of_one_file_split_in_several_ways_work_together(progic_file: ProgicFile) -> None:
    data = progic_file(256, 256, 5)
    packets = split(data, 360)[::2] + split(data, 200)[::2] + split(data, 300, interleave=False)[1::2]
    joined = join(sort_out(packets)[0])
    alone = join(sort_out(split(data, 360)[::2])[0])
    assert (depth_of(joined.data) == 0).sum() < (depth_of(alone.data) == 0).sum()


def test_packets_that_contradict_each_other(progic_file: ProgicFile) -> None:
    first, second = map(parse, split(progic_file(256, 256, 1), 200))
    for wrong in (replace(second, starts=b"\0"), replace(second, bits=9, content=second.content[:-16])):
        kept, rejected = sort_out([write(first), write(wrong)])
        assert kept == [first]
        assert rejected == {1: "contradicts other packets of its picture"}
    false = replace(second, content=bytes(len(second.content)))
    joined = join([first, false])
    assert (joined.missing, joined.sound) == ("", False)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"kind": Kind.BYTES, "size": 300}, "bytes of codec progic"),
        ({"stages": 2, "starts": b"ab"}, "2 stages"),
        ({"stages": 0, "starts": b""}, "0 stages"),
        ({"bits": 0}, "0 bits"),
        ({"bits": 25}, "25 bits"),
        ({"number": 1000}, "number 1000 of 2"),
        ({"count": 70000}, "of 70000"),
        ({"content": b""}, "0 bytes of content"),
        ({"content": b"123"}, "3 bytes of content, not 160"),
        ({"kind": Kind.METADATA}, "stages, but no positions"),
        ({"kind": Kind.METADATA, "stages": 0, "interleaved": False}, "not 0"),
    ],
)
def test_packets_that_no_splitter_writes(progic_file: ProgicFile, change: dict[str, object], error: str) -> None:
    packet = parse(split(progic_file(256, 256, 1), 200)[0])
    with pytest.raises(FormatError, match=error):
        parse(write(replace(packet, **change)))  # type: ignore[arg-type]


def test_other_packets_that_no_splitter_writes(files: dict[str, bytes]) -> None:
    packet = split(files["progic, one stage"], 360)[0]
    with pytest.raises(UnsupportedError, match="version 2"):
        parse(sealed(bytes([*MAGIC, packet[2] | 0x40]) + packet[3:]))
    with pytest.raises(UnsupportedError, match="kind of packet 3"):
        parse(sealed(bytes([*MAGIC, packet[2] | 0x30]) + packet[3:]))
    with pytest.raises(FormatError, match="spelled"):
        parse(write(replace(parse(packet), header=replace(parse(packet).header, caption="x"))))
    with pytest.raises(FormatError, match="not a packet"):
        parse(sealed(packet[:7] + bytes([packet[7], 0]) + packet[9:]))
    with pytest.raises(FormatError, match="ends inside"):
        parse(sealed(packet[:9] + b"....."))
    with pytest.raises(UnsupportedError, match="exceed"):
        parse(packet, max_pixels=100)
    small = parse(split(files["progic, small"], 360)[0])
    with pytest.raises(FormatError, match="2 packets of 6 positions"):
        parse(write(replace(small, count=2)))
    header = replace(parse(packet).header, codec=Codec.ARPC)
    with pytest.raises(FormatError, match="positions of codec arpc"):
        parse(write(replace(parse(packet), header=header)))


def test_what_cannot_be_split(files: dict[str, bytes], progic_file: ProgicFile) -> None:
    data = files["progic"]
    for mtu in (1, 20, 28):
        with pytest.raises(UsageError, match="too small"):
            split(data, mtu)
    assert max(map(len, split(data, 40))) <= 40
    with pytest.raises(UsageError, match="too small"):
        split(files["progic, small"], 30)
    with pytest.raises(UsageError, match="at most 65535"):
        split(data, 65536)
    for redundancy in (-0.1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="redundancy"):
            split(data, 360, redundancy=redundancy)
    with pytest.raises(TruncatedError, match="cut"):
        split(data[:-1], 360)
    with pytest.raises(FormatError, match="check"):
        split(files["hpac"][:-1] + b"\0", 360)
    with pytest.raises(UsageError, match="holes"):
        split(join(sort_out(split(data, 360)[1:])[0]).data, 360)
    container = read(progic_file(48, 48, 2))
    from arpc_codec.container import write as write_file

    for segments in ((b"", b"12"), (container.segments[0], b""), (b"\xff" * 13, container.segments[1])):
        with pytest.raises(FormatError, match="stage"):
            split(write_file(replace(container, segments=segments)), 360)


# Bytes by which the number of a parity may be longer than that of the only packet.
LARGER_NUMBER = 1


@settings(max_examples=60)
@example(width=1, height=81, stages=7, entries=513, mtu=80, interleave=False, redundancy=0.0, seed=0)
@given(
    width=st.integers(1, 600),
    height=st.integers(1, 600),
    stages=st.integers(1, 7),
    entries=st.integers(2, 5000),
    mtu=st.integers(80, 700),
    interleave=st.booleans(),
    redundancy=st.floats(0, 1.5),
    seed=st.integers(0, 99),
)
def test_round_trips_and_losses(
    progic_file: ProgicFile,
    width: int,
    height: int,
    stages: int,
    entries: int,
    mtu: int,
    interleave: bool,
    redundancy: float,
    seed: int,
) -> None:
    data = progic_file(width, height, stages, entries, seed)
    try:
        packets = split(data, mtu, interleave=interleave, redundancy=redundancy)
    except UsageError:
        # A few positions are never divided: with many stages they may need more than the least MTU drawn here.
        (whole,) = split(data, 700, interleave=interleave)
        assert len(whole) + LARGER_NUMBER > mtu
        return
    assert max(map(len, packets)) <= mtu
    assert join(sort_out(packets[::-1])[0]).data == data
    arrived = [packet for packet in packets if random.Random(f"{seed} {packet.hex()}").random() >= 0.3]
    kept, _ = sort_out(arrived)
    if not any(not packet.is_parity for packet in kept):
        return
    joined = join(kept)
    assert bool(joined.missing) == (joined.data != data)
    assert depth_of(joined.data, entries).max() == read(joined.data).header.scales


@settings(max_examples=200)
@given(data=st.binary(max_size=80), seal=st.booleans(), magic=st.booleans())
def test_arbitrary_bytes(data: bytes, seal: bool, magic: bool) -> None:
    blob = MAGIC * magic + data
    kept, rejected = sort_out([sealed(blob + bytes(4)) if seal else blob], max_pixels=1 << 20)
    assert len(kept) + len(rejected) == 1


@settings(max_examples=150)
@given(st.data())
def test_good_packets_with_arbitrary_changes_and_fitting_checks(files: dict[str, bytes], draw: st.DataObject) -> None:
    """Whoever can make checks can make nonsense, but only errors of this package."""
    name = draw.draw(st.sampled_from(["progic, small", "progic, metadata", "arpc, metadata", "hpac, metadata"]))
    packets = split(files[name], 120, redundancy=0.3)
    changed = []
    for packet in packets:
        at = draw.draw(st.integers(0, len(packet) - 5))
        value = draw.draw(st.integers(0, 255)) if draw.draw(st.integers(0, 3)) == 0 else packet[at]
        changed.append(sealed(packet[:at] + bytes([value]) + packet[at + 1 :]))
    with suppress(ArpcError):
        join(sort_out(changed, max_pixels=1 << 22)[0])
