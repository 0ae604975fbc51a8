"""The bundled model on the Kodak pictures: what it must reach. Slow; results are recorded in dev/LOG.md."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.codecs.filling import Filling
from arpc_codec.container import info, read
from arpc_codec.imageio import read as read_picture
from arpc_codec.metrics.psnr import psnr

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def kodak(shared_dir: Path) -> list[Path]:
    files = sorted((shared_dir / "data" / "kodak").glob("*.png"))
    assert len(files) == 24
    return files


@pytest.fixture(scope="module")
def codec() -> ArpcCodec:
    return ArpcCodec.load("tiny")


def test_tokens_bytes_and_rate(codec: ArpcCodec, kodak: list[Path]) -> None:
    """Every file decodes to the tokens that were encoded, every byte is accounted for, overhead stays in its budget."""
    quality = []
    for path in kodak:
        pixels = read_picture(path).pixels
        encoded = codec.encode(pixels)
        h = codec.analyse(pixels)
        schedule = codec.tokenizer.schedule(*h.shape[-2:])
        expected = codec.tokenizer.quantizer(h, schedule).prefixes[-1]
        container = read(encoded.data)
        assert np.allclose(codec.latent(container, len(schedule), Filling("none")).numpy(), expected.numpy(), atol=1e-5)
        quality.append(psnr(pixels, codec.decode(container).pixels))
        for scales, budget in ((6, 18), (10, 26)):
            report = info(codec.encode(pixels, scales=scales).data)
            assert report.overhead_bytes <= budget
        report = info(encoded.data)
        assert sum(field.length for field in report.fields) == report.file_bytes == len(encoded.data)
    assert float(np.mean(quality)) >= 28


@pytest.mark.parametrize(("scales", "limit"), [(7, 5.0), (13, 8.0)])
def test_time_and_memory_of_whole_processes(kodak: list[Path], tmp_path: Path, scales: int, limit: float) -> None:
    """Encode and decode, each a process of its own, on an idle machine with two cores."""
    arpc = [sys.executable, "-m", "arpc_codec"]
    packed, back = str(tmp_path / "p.arpc"), str(tmp_path / "p.png")
    for command in (
        [*arpc, "encode", str(kodak[0]), "-o", packed, "--scales", str(scales)],
        [*arpc, "decode", packed, "-o", back],
    ):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        assert time.perf_counter() - start <= limit
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= 700 << 10
