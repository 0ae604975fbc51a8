"""The released sizes with random weights: 2.2 billion parameters imported, and pictures coded both ways.

Run alone, with `-s` to see seconds and memory: it takes 25 GB of disk, 20 of memory, and half an hour on two cores.
"""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from arpc_codec.cli.main import main
from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.container import read
from arpc_codec.prior.coding import FloatPrior

Shapes = dict[str, tuple[int, ...]]
DISK = 25 * 10**9


@contextmanager
def told(what: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{what}: {time.perf_counter() - start:.1f} s, at most {peak} MiB so far", flush=True)


def write_random(shapes: Shapes, path: Path) -> None:
    """Weights as training starts with them: a standard deviation of 0.02, norms of 1."""
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for key, shape in shapes.items():
        weights[key] = torch.zeros(shape)
        if "zero_k_bias" not in key:
            weights[key].normal_(std=0.02, generator=generator)
        if "norm" in key and key.endswith("weight"):
            weights[key] += 1
    save_file(weights, path)


@pytest.mark.slow
@pytest.mark.parametrize("side", [256, 1024])
def test_pictures_come_back(
    side: int,
    released_shapes: tuple[Shapes, Shapes],
    picture: Callable[..., np.ndarray],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = tmp_path_factory.getbasetemp() / "full-size"
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("ARPC_HOME", str(home))
    if not (home / "full").exists():
        if shutil.disk_usage(home).free < DISK:
            pytest.skip(f"{home} has less than {DISK // 10**9} GB of free space")
        files = [home / "tokenizer.safetensors", home / "transformer.safetensors"]
        with told("random checkpoints"):
            for shapes, file in zip(released_shapes, files, strict=True):
                write_random(shapes, file)
        with told("import"):
            named = ["--tokenizer", str(files[0]), "--transformer", str(files[1]), "-o", str(home / "full")]
            result = CliRunner().invoke(main, ["models", "import", "infinity", *named])
        assert result.exit_code == 0, result.stderr
        for file in files:
            file.unlink()
    step = FloatPrior.step

    def timed(self, x, schedule, scale, caches):  # type: ignore[no-untyped-def]
        with told(f"  scale {scale + 1}, {schedule[scale][0]}x{schedule[scale][1]}"):
            return step(self, x, schedule, scale, caches)

    monkeypatch.setattr(FloatPrior, "step", timed)
    with told("load"):
        codec = ArpcCodec.load("full")
    assert sum(p.numel() for p in codec.bundle.prior.parameters()) == 2_204_564_032
    pixels = picture(side, side)
    with told(f"encode {side}x{side}"):
        encoded = codec.encode(pixels)
    with told(f"decode {side}x{side}"):
        decoded = codec.decode(read(encoded.data))
    print(f"{len(encoded.data)} bytes")
    assert decoded.scales == encoded.total_scales
    assert not decoded.damaged
    assert decoded.pixels.shape == pixels.shape
