"""Round trips, prefixes, corruption, truncation and accounting of the container."""

import ast
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import arpc_codec.container as package
from arpc_codec.container import (
    Chunk,
    ChunkType,
    Codec,
    Colour,
    Container,
    Header,
    LosslessMode,
    captions,
    info,
    read,
    truncate,
    write,
)
from arpc_codec.container import header as header_module
from arpc_codec.container.captions import encode_caption
from arpc_codec.container.varint import MAX_VARINT, CutError, decode_varint, encode_varint
from arpc_codec.errors import ArpcError, FormatError, TruncatedError, UnsupportedError, UsageError

PACKAGE = Path(package.__file__).parent
CHUNK_TYPES = st.sampled_from([*ChunkType, 0x05, 0x30, 0x41, 0x7F])

LOSSLESS = st.builds(LosslessMode, st.sampled_from((8, 16)), st.booleans(), st.integers(0, 12).map(lambda t: 16 << t))


@st.composite
def containers(draw: st.DrawFn) -> Container:
    codec = draw(st.sampled_from(Codec))
    scales = draw(st.integers(1, {Codec.ARPC: 15, Codec.PROGIC: 7, Codec.HPAC: 1}[codec]))
    width = draw(st.integers(1, 2**24))
    header = Header(
        codec=codec,
        model_id=draw(st.integers(1, MAX_VARINT)),
        width=width,
        height=draw(st.integers(1, min(2**24, 2**28 // width))),
        scales=scales,
        colour=draw(st.sampled_from(Colour)),
        phases=draw(st.none() | st.integers(1, 3)) if codec is Codec.ARPC else None,
        tiled=draw(st.booleans()) if codec is Codec.ARPC else False,
        caption=draw(st.text(st.characters(codec="utf-8"), max_size=80)),
        lossless=draw(LOSSLESS) if codec is Codec.HPAC else None,
    )
    segments = draw(st.lists(st.binary(max_size=200), min_size=scales, max_size=scales))
    types = sorted(draw(st.sets(CHUNK_TYPES, max_size=4)), key=lambda type_: type_ & 0x7F)
    # Of a lossless picture alpha is a channel.
    types = [type_ for type_ in types if (codec, type_) != (Codec.HPAC, ChunkType.ALPHA)]
    return Container(header, tuple(segments), tuple(Chunk(type_, draw(st.binary(max_size=40))) for type_ in types))


def photo(*sizes: int, chunks: tuple[Chunk, ...] = (), **fields: object) -> bytes:
    header = Header(codec=Codec.ARPC, model_id=1, width=768, height=512, scales=len(sizes))
    return write(Container(replace(header, **fields), tuple(b"x" * size for size in sizes), chunks))


@given(st.integers(0, MAX_VARINT), st.binary(max_size=3))
def test_varint_round_trip(value: int, behind: bytes) -> None:
    coded = encode_varint(value)
    assert decode_varint(coded + behind, 0) == (value, len(coded))
    for size in range(len(coded)):
        with pytest.raises(CutError):
            decode_varint(coded[:size], 0)


@given(st.binary(min_size=1, max_size=7))
def test_varint_has_one_spelling(data: bytes) -> None:
    try:
        value, end = decode_varint(data, 0)
    except FormatError:
        return
    assert encode_varint(value) == data[:end]


@pytest.mark.parametrize("value", [-1, MAX_VARINT + 1])
def test_varint_range(value: int) -> None:
    with pytest.raises(UsageError):
        encode_varint(value)


@given(containers())
def test_round_trip(container: Container) -> None:
    data = write(container)
    assert read(data) == container
    assert write(read(data)) == data


@given(containers())
def test_every_prefix_is_truncated_or_refused(container: Container) -> None:
    data = write(container)
    header_size = len(data) - len(b"".join(container.segments))
    complete = True
    for size in range(len(data) - 1, -1, -max(1, len(data) // 100)):
        try:
            part = read(data[:size])
        except FormatError:
            complete = False
            assert size < header_size
            continue
        assert complete, "a header that is cut cannot become whole by cutting more"
        assert part.truncated
        assert part.segments == container.segments[: len(part.segments)]
        assert part.chunks == container.chunks[: len(part.chunks)]
        assert sum(field.length for field in info(data[:size]).fields) == size


@given(containers())
def test_info_accounts_for_every_byte(container: Container) -> None:
    data = write(container)
    about = info(data)
    offset = 0
    for field in about.fields:
        assert field.offset == offset
        assert field.length > 0
        offset += field.length
    assert offset == about.file_bytes == len(data)
    sums = (about.overhead_bytes, about.payload_bytes, about.caption_bytes, about.metadata_bytes)
    assert sum(sums) == len(data)
    assert about.payload_bytes == sum(map(len, container.segments))
    assert about.caption_bytes <= len(container.header.caption.encode())
    assert about.bpp_per_scale[-1] == about.bpp
    if about.lossless is None:
        sizes = [len(truncate(data, scales=count)) for count in range(1, about.scales_present + 1)]
        pixels = about.width * about.height
        assert about.bpp_per_scale == tuple(8 * size / pixels for size in sizes)
    assert about.to_json()["schema"] == 1


def test_info_codes_a_caption_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    data = photo(*range(15), caption="a red kite over a lighthouse")
    calls = []
    monkeypatch.setattr(header_module, "encode_caption", lambda text: calls.append(text) or encode_caption(text))
    monkeypatch.setattr(captions, "encode_caption", lambda text: calls.append(text) or encode_caption(text))
    assert len(info(data).bpp_per_scale) == 15
    assert len(calls) == 3


def test_corruption_raises_nothing_unexpected() -> None:
    rng = random.Random(1)
    originals = [
        photo(1, 4, 9, 23, 61, 140),
        photo(5, 6, 7, caption="a red café", phases=2, tiled=True),
        photo(300, codec=Codec.HPAC, lossless=LosslessMode()),
        photo(5, 300, chunks=(Chunk(ChunkType.ICC, b"profile"), Chunk(ChunkType.ALPHA, b"plane"))),
    ]
    start = time.process_time()
    for turn in range(1000):
        info(originals[turn % len(originals)])
    whole = time.process_time() - start
    start = time.process_time()
    for turn in range(10_000):
        data = bytearray(originals[turn % len(originals)])
        for _ in range(rng.randint(1, 4)):
            kind, at = rng.randrange(4), rng.randrange(len(data))
            if kind == 0:
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                data[at] = rng.randrange(256)
            elif kind == 2:
                data[at:at] = rng.randbytes(rng.randint(1, 3))
            elif len(data) > 4:
                del data[at : at + rng.randint(1, 3)]
        try:
            assert sum(field.length for field in info(bytes(data)).fields) == len(data)
        except ArpcError:
            continue
    # Nor does a damaged file take longer to read than a whole one.
    assert time.process_time() - start < 3 * 10 * whole


@given(st.binary(max_size=60))
def test_any_bytes_behind_the_magic(data: bytes) -> None:
    try:
        container = read(b"\xa7A\n" + data)
    except ArpcError:
        return
    if not container.truncated and container.sound:
        assert write(container) == b"\xa7A\n" + data


@given(containers(), st.integers(1, 20))
def test_truncate_to_scales(container: Container, scales: int) -> None:
    kept = read(truncate(write(container), scales=scales))
    count = min(scales, container.header.scales)
    assert kept.segments == container.segments[:count]
    assert kept.chunks == container.chunks
    whole = count == container.header.scales
    phases = container.header.phases if whole else None
    assert kept.header == replace(container.header, scales=count, phases=phases)
    assert not kept.truncated


@given(containers(), st.integers(0, 400))
def test_truncate_to_bytes_keeps_as_much_as_fits(container: Container, max_bytes: int) -> None:
    data = write(container)
    sizes = [len(truncate(data, scales=count)) for count in range(1, container.header.scales + 1)]
    fitting = [size for size in sizes if size <= max_bytes]
    if fitting:
        assert len(truncate(data, max_bytes=max_bytes)) == fitting[-1]
    else:
        with pytest.raises(UsageError):
            truncate(data, max_bytes=max_bytes)


def test_truncate_mends_a_cut_file() -> None:
    data = photo(5, 6, 7, phases=1, chunks=(Chunk(ChunkType.ICC, b"profile"),))
    mended = read(truncate(data[:-12], scales=15))
    assert (mended.truncated, mended.header.scales, mended.header.phases, mended.chunks) == (False, 2, None, ())
    with pytest.raises(TruncatedError):
        truncate(photo(5, 6)[:13], scales=1)


@pytest.mark.parametrize("limits", [{}, {"scales": 0}, {"max_bytes": 3}])
def test_truncate_refuses(limits: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        truncate(photo(5, 6), **limits)


@pytest.mark.parametrize(
    "fields",
    [
        {"model_id": 0},
        {"width": 0},
        {"height": 2**24 + 1},
        {"scales": 16},
        {"phases": 4},
        {"codec": Codec.PROGIC, "phases": 2},
        {"codec": Codec.PROGIC, "tiled": True},
        {"caption": "é" * 513},
        {"caption": "\ud800"},
        {"lossless": LosslessMode()},
        {"codec": Codec.HPAC},
        {"codec": Codec.HPAC, "lossless": LosslessMode(bits=12)},
        {"codec": Codec.HPAC, "lossless": LosslessMode(tile=100)},
        {"codec": Codec.HPAC, "lossless": LosslessMode(), "tiled": True},
        {"scales": 2},
    ],
)
def test_write_refuses_what_read_would(fields: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        photo(1, **fields)


@pytest.mark.parametrize("types", [(0x85,), (0x00,), (0x81,), (0x101,), (0x01, 0x01)])
def test_write_refuses_chunk_types(types: tuple[int, ...]) -> None:
    with pytest.raises(UsageError):
        photo(1, chunks=tuple(Chunk(type_, b"") for type_ in types))


def test_no_alpha_plane_beside_a_lossless_picture() -> None:
    with pytest.raises(UsageError, match="alpha"):
        photo(9, codec=Codec.HPAC, lossless=LosslessMode(), chunks=(Chunk(ChunkType.ALPHA, b"plane"),))


def test_write_orders_chunks_and_refuses_truncated() -> None:
    icc, alpha = Chunk(ChunkType.ICC, b"a"), Chunk(ChunkType.ALPHA, b"b")
    assert photo(1, chunks=(alpha, icc)) == photo(1, chunks=(icc, alpha))
    with pytest.raises(UsageError):
        write(replace(read(photo(1)), truncated=True))


def test_max_pixels_is_the_readers_choice() -> None:
    data = photo(1, width=2**15, height=2**14 + 1)
    with pytest.raises(UnsupportedError):
        read(data)
    assert read(data, max_pixels=2**30).header.height == 2**14 + 1


def test_overhead_of_a_photo_is_within_budget() -> None:
    six, ten = photo(1, 4, 9, 23, 61, 140), photo(*(100,) * 5, *(4000,) * 5)
    assert info(six).overhead_bytes == 18
    assert info(ten).overhead_bytes == 26


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.name)
def test_imports_the_standard_library_only(path: Path) -> None:
    allowed = sys.stdlib_module_names | {"arpc_codec"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            assert not node.level
        for name in names:
            assert name.split(".")[0] in allowed
            if name.startswith("arpc_codec"):
                assert name == "arpc_codec.errors" or name.startswith("arpc_codec.container")


def test_importing_it_loads_neither_torch_nor_numpy() -> None:
    code = "import sys, arpc_codec.container; sys.exit(bool({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_changed_byte_of_a_lossless_file_is_found() -> None:
    whole = photo(40, codec=Codec.HPAC, lossless=LosslessMode(), chunks=(Chunk(ChunkType.ICC, b"profile"),))
    assert read(whole).sound
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= 0x21
        try:
            found = read(bytes(data))
        except ArpcError:
            continue
        assert not found.sound or found.truncated
        with pytest.raises(FormatError):
            truncate(bytes(data), scales=1)
        if not found.truncated:
            with pytest.raises(UsageError):
                write(found)


def test_what_arrived_of_a_lossless_picture_is_there() -> None:
    whole = photo(40, codec=Codec.HPAC, lossless=LosslessMode())
    for missing in range(1, 45):
        found = read(whole[:-missing])
        assert found.truncated
        assert found.segments == ((b"x" * 40,) if missing < 5 else ())
        assert found.rest == (b"" if missing < 5 else b"x" * (44 - missing))
