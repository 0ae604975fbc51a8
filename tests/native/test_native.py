"""The compiled wavefront gives the bytes of the one in numpy, for any tile, stream, model and instruction set."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_up import bundled, compared, in_numpy, random_model, tile

from arpc_codec import native
from arpc_codec.codecs.pixeltiles import PixelCoder
from arpc_codec.errors import ModelError, UsageError

ROOT = Path(__file__).parents[2]
KODAK = ROOT.parent / "shared" / "data" / "kodak"
VERSIONS = native._wavefront.versions() if native._wavefront is not None else ()

needs_module = pytest.mark.skipif(not VERSIONS, reason="the wavefront is not compiled here")


@pytest.fixture(scope="module")
def trained() -> dict[int, PixelCoder]:
    return {channels: bundled(channels) for channels in (1, 3)}


@needs_module
@pytest.mark.parametrize("version", ["base", "avx2", "avx512"])
@pytest.mark.parametrize("first", [0, *(pytest.param(first, marks=pytest.mark.thorough) for first in (8, 16))])
def test_made_up_tiles(
    first: int, version: str, trained: dict[int, PixelCoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    if version not in VERSIONS:
        pytest.skip(f"this processor has no {version}")
    monkeypatch.setenv("ARPC_NATIVE", version)
    for seed in range(first, first + 8):
        channels = 1 if seed % 3 == 0 else 3
        compared(seed, trained[channels] if seed % 4 == 1 else random_model(seed, channels))


@needs_module
@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 2000, 250))
def test_two_thousand_made_up_tiles(first: int, trained: dict[int, PixelCoder]) -> None:
    for seed in range(first, first + 250):
        channels = 1 if seed % 3 == 0 else 3
        compared(seed, trained[channels] if seed % 4 == 1 else random_model(seed, channels))


@needs_module
@pytest.mark.slow
@pytest.mark.skipif(not KODAK.is_dir(), reason="no Kodak pictures")
@pytest.mark.parametrize("number", range(1, 25))
def test_kodak(number: int, trained: dict[int, PixelCoder]) -> None:
    from PIL import Image

    samples = np.asarray(Image.open(KODAK / f"kodim{number:02d}.png").convert("RGB")).astype(np.int32)
    height, width = (side // 256 * 256 for side in samples.shape[:2])
    tiles = [samples[y : y + 256, x : x + 256] for y in range(0, height, 256) for x in range(0, width, 256)]
    streams = trained[3].encode(np.stack(tiles), 8)
    assert streams == in_numpy(trained[3]).encode(np.stack(tiles), 8)
    assert np.array_equal(trained[3].decode(streams, (256, 256), 8)[0], np.stack(tiles))


@needs_module
def test_a_tile_of_many_rows(trained: dict[int, PixelCoder]) -> None:
    """Blocks of rows, whole and in part, behind each other; rows that end before others begin."""
    made = tile(np.random.default_rng(1), "waves", (150, 70, 1), 8)
    assert trained[1].encode(made[None], 8) == in_numpy(trained[1]).encode(made[None], 8)


@needs_module
def test_layers_with_more_inputs_than_a_round_holds() -> None:
    coder = random_model(3, 1)
    wide = PixelCoder(*_widened(coder))
    made = tile(np.random.default_rng(2), "ramp", (6, 7, 1), 8)
    assert wide.encode(made[None], 8) == in_numpy(wide).encode(made[None], 8)


def _widened(coder: PixelCoder) -> tuple:
    """A head of 600 units instead of a few."""
    from dataclasses import replace

    config, state, rng = replace(coder.config, head=600), dict(coder.state), np.random.default_rng(4)
    inputs, outputs = state["inner.0.weight"].shape[1], state["outer.0.weight"].shape[0]
    for name, shape in (("inner.0", (600, inputs)), ("outer.0", (outputs, 600))):
        state[f"{name}.weight"] = rng.integers(-32767, 32768, shape).astype(np.int16)
        state[f"{name}.exponent"] = np.full(shape[0], 18, np.int8)
        state[f"{name}.bias"] = np.zeros(shape[0], np.int32)
    return config, state


@needs_module
def test_what_is_no_model_or_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    coder, stop = bundled(1), bytearray(1)
    compiled = native.NativeCoder(coder.config, coder.state)
    with pytest.raises(ValueError, match="out of range"):
        compiled.encode(np.full((2, 2, 1), 256), 8, stop)
    with pytest.raises(ValueError, match="fill"):
        compiled.encode(np.zeros((2, 2, 3)), 8, stop)
    for height, width, bits in ((0, 1, 8), (1, 0, 8), (1, 1, 0), (1, 1, 17), (-1, 1, 8), (1 << 30, 1, 8)):
        with pytest.raises((ValueError, MemoryError)):
            compiled.decode(b"", (height, width), bits, stop)
    for name in ("embed.weight", "tables.silu", "tables.sigmoid", "outer.0.bias", "blocks.0.taps"):
        with pytest.raises(ModelError, match="cannot hold"):
            native.NativeCoder(coder.config, {**coder.state, name: coder.state[name][:-1]})
    falling = coder.state["tables.sigmoid"][::-1].copy()
    with pytest.raises(ModelError, match="falls"):
        native.NativeCoder(coder.config, {**coder.state, "tables.sigmoid": falling})
    monkeypatch.setenv("ARPC_NATIVE", "abacus")
    with pytest.raises(UsageError, match="abacus"):
        coder.encode(np.zeros((1, 2, 2, 1), np.int32), 8)


@needs_module
def test_it_stops_when_told(trained: dict[int, PixelCoder]) -> None:
    made = tile(np.random.default_rng(1), "noise", (128, 128, 1), 8)
    for coder in (trained[1], in_numpy(trained[1])):
        with pytest.raises(InterruptedError):
            coder.encode(made[None], 8, bytearray(b"\1"))


# -- other builds ------------------------------------------------------------------------------------------------------


def build(folder: Path, **environment: str) -> Path:
    """The module built anew; its file."""
    command = [
        sys.executable,
        "setup.py",
        "-q",
        "build_ext",
        "--build-lib",
        str(folder),
        "--build-temp",
        str(folder / "t"),
    ]
    env = {**os.environ, **environment}
    subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, timeout=600)
    found = list(folder.glob("arpc_codec/native/_wavefront*"))
    if not found:
        pytest.skip(f"this compiler cannot build with {environment}")
    return found[0]


def run(module: Path, first: int, count: int, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(Path(__file__).with_name("worker.py")), str(module), str(first), str(count)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=3000, check=False)


@needs_module
@pytest.mark.slow
def test_a_contracted_multiply_add_is_seen(tmp_path: Path) -> None:
    if "avx2" not in VERSIONS:
        pytest.skip("no multiply-add to contract to")
    done = run(build(tmp_path / "same"), 0, 12, ARPC_NATIVE="base")
    assert done.returncode == 0, done.stderr
    done = run(build(tmp_path / "fused", ARPC_CFLAGS="-mfma -ffp-contract=fast"), 0, 12, ARPC_NATIVE="base")
    assert done.returncode != 0
    assert "AssertionError" in done.stderr


@needs_module
@pytest.mark.slow
@pytest.mark.parametrize("flags", ["-ffast-math", "-Ofast", "-funsafe-math-optimizations -ffinite-math-only"])
def test_flags_of_the_user_change_no_byte(tmp_path: Path, flags: str) -> None:
    """Distributions set CFLAGS; whatever they say, sums keep their order, and subnormal numbers stay."""
    module = build(tmp_path, CFLAGS=flags)
    for version in VERSIONS:
        done = run(module, 0, 12, ARPC_NATIVE=version)
        assert done.returncode == 0, done.stderr
    asked = (
        "import sys, numpy; sys.path.insert(0, sys.argv[1]); import _wavefront; print(numpy.float32(1e-38) * 1e-3 > 0)"
    )
    command = [sys.executable, "-c", asked, str(module.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True\n"


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    flags = "-fsanitize=address,undefined -fno-sanitize-recover=all -g -O1"
    return build(tmp_path_factory.mktemp("sanitized"), ARPC_DEBUG="1", ARPC_CFLAGS=flags)


@needs_module
@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sanitizers are preloaded as on Linux")
@pytest.mark.parametrize("version", VERSIONS)
def test_fuzzed_under_sanitizers(version: str, sanitized: Path) -> None:
    """Any size, depth, model and stream, every index checked: nothing is read or written where it should not be."""
    library = subprocess.run(["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    preloaded = {"LD_PRELOAD": library.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1"}
    for first in itertools.count(10_000, 25):
        done = run(sanitized, first, 25, ARPC_NATIVE=version, **preloaded)
        assert done.returncode == 0, done.stderr[-4000:]
        if first >= 10_000 + 75:
            break


def test_vectors_that_were_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_wavefront", None)
    for name in ("", "0"):
        monkeypatch.setenv("ARPC_NATIVE", name)
        assert native.version() == ""
    monkeypatch.setenv("ARPC_NATIVE", "avx2")
    with pytest.raises(UsageError, match="without its compiled part"):
        native.version()
