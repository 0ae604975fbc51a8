"""A stand-in codec, for tests of the plumbing around it, and small pictures."""

import io
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from arpc_codec import loading
from arpc_codec.cli.main import main
from arpc_codec.codecs.filling import MEAN
from arpc_codec.codecs.lossy import Decoded, Encoded
from arpc_codec.container import Codec, Colour, Container, Header, write
from arpc_codec.errors import FormatError, ModelError, UsageError
from arpc_codec.zoo.registry import ModelEntry, find

TOTAL = 6
CHECKED = 3


TINY = find("tiny").id


class StandIn:
    """Scale k is the picture at 2^k x 2^k pixels, zlib packed, with a check byte from scale 3 on."""

    calls: list[dict] = []  # noqa: RUF012

    @classmethod
    def load(cls, model: str | int | ModelEntry = "tiny", device: str = "cpu") -> "StandIn":
        if find(model).id != TINY:
            raise ModelError(f"model '{model}' is not on this machine")
        return cls()

    def encode(self, pixels, *, scales=None, target_bytes=None, caption="", grey=False, chunks=(), **coding) -> Encoded:
        assert coding.keys() <= {"verify", "portable", "guard"}
        self.calls.append({"scales": scales, "target_bytes": target_bytes, "grey": grey, "pixels": pixels} | coding)
        notes = (f"this picture has {TOTAL} scales",) if (scales or 0) > TOTAL else ()
        for kept in range(min(scales or TOTAL, TOTAL), 0, -1):
            header = Header(
                Codec.ARPC,
                model_id=TINY,
                width=pixels.shape[1],
                height=pixels.shape[0],
                scales=kept,
                colour=Colour(grey),
                caption=caption,
            )
            segments = []
            for k in range(1, kept + 1):
                small = zlib.compress(Image.fromarray(pixels).resize((2**k, 2**k)).tobytes())
                segments.append(small + (bytes([zlib.crc32(small) & 255]) if k >= CHECKED else b""))
            data = write(Container(header, tuple(segments), chunks))
            if target_bytes is None or len(data) <= target_bytes:
                return Encoded(data, kept, TOTAL, notes)
        raise UsageError(f"{target_bytes} bytes are too few")

    def decode(self, container, *, scales=None, filling=MEAN, region=None) -> Decoded:
        good, damaged = 0, ()
        for k, segment in enumerate(container.segments[: scales or TOTAL], 1):
            if k >= CHECKED and segment[-1] != zlib.crc32(segment[:-1]) & 255:
                damaged = (k,)
                break
            good = k
        if not good:
            raise FormatError("no complete scale has arrived")
        segment = container.segments[good - 1]
        small = Image.frombytes(
            "RGB", (2**good, 2**good), zlib.decompress(segment[:-1] if good >= CHECKED else segment)
        )
        pixels = np.asarray(small.resize((container.header.width, container.header.height)))
        return Decoded(pixels, good, TOTAL, container.header.scales, damaged)

    def steps(self, container, *, filling=MEAN, region=None) -> Iterator[Decoded]:
        for k in range(1, max(1, len(container.segments)) + 1):
            step = self.decode(container, scales=k)
            if step.damaged:
                return
            yield step


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[StandIn]]:
    """The real codec's module replaced by the stand-in."""
    module = ModuleType("arpc_codec.codecs.arpc")
    module.ArpcCodec = StandIn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "arpc_codec.codecs.arpc", module)
    shares = ModuleType("arpc_codec.codecs.certainty")
    shares.certainty = lambda codec, container, scales: np.full(  # type: ignore[attr-defined]
        (container.header.height, container.header.width), len(container.segments) / TOTAL
    )
    monkeypatch.setitem(sys.modules, "arpc_codec.codecs.certainty", shares)
    StandIn.calls.clear()
    loading._load.cache_clear()
    yield StandIn
    loading._load.cache_clear()


@pytest.fixture
def arpc() -> Callable[..., Result]:
    """Runs a command in this process, on the CPU where there is a choice."""

    def run(*args: str | Path, stdin: bytes | None = None) -> Result:
        words = [str(arg) for arg in args]
        if words[0] in ("encode", "decode", "verify", "preview") and not {"--help", "--device"} & set(words):
            words += ["--device", "cpu"]
        result = CliRunner().invoke(main, words, input=stdin)
        assert "Traceback" not in result.stderr
        assert all(line.startswith("arpc: ") for line in result.stderr.splitlines()), result.stderr
        return result

    return run


def picture(mode: str = "RGB", size: tuple[int, int] = (48, 32)) -> Image.Image:
    """A smooth picture, the same every time."""
    y, x = np.mgrid[: size[1], : size[0]]
    pixels = np.stack([x * 5, y * 7, (x + y) * 3], -1).astype(np.uint8)
    image = Image.fromarray(pixels)
    if mode.endswith("A"):
        image.putalpha(Image.fromarray((x * 4).astype(np.uint8)))
    return image.convert(mode)


def png(mode: str = "RGB", size: tuple[int, int] = (48, 32)) -> bytes:
    out = io.BytesIO()
    picture(mode, size).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(png())
    return path


@pytest.fixture
def coded(stand_in: type[StandIn], tmp_path: Path) -> Path:
    """A file of the stand-in with all scales."""
    path = tmp_path / "coded.arpc"
    path.write_bytes(StandIn().encode(np.asarray(picture())).data)
    return path


@pytest.fixture
def damaged(coded: Path, tmp_path: Path) -> Path:
    """The same file with scale 5 damaged."""
    from arpc_codec.container import info

    data = bytearray(coded.read_bytes())
    field = next(field for field in info(bytes(data)).fields if field.name == "scale 5")
    data[field.offset + field.length // 2] ^= 0x55
    path = tmp_path / "damaged.arpc"
    path.write_bytes(data)
    return path


@pytest.fixture
def cut(coded: Path, tmp_path: Path) -> Path:
    """The same file without its last bytes."""
    path = tmp_path / "cut.arpc"
    path.write_bytes(coded.read_bytes()[:-9])
    return path


@pytest.fixture
def with_alpha(stand_in: type[StandIn], arpc: Callable[..., Result], tmp_path: Path) -> Path:
    path = tmp_path / "with_alpha.arpc"
    source = tmp_path / "rgba.png"
    source.write_bytes(png("RGBA"))
    assert arpc("encode", source, "-o", path).exit_code == 0
    return path
