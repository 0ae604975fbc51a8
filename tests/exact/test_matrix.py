"""Other processors imitated on this one: threads, instruction sets, libraries. Every row must give the same digest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.codecs.hpac import HpacCodec
from arpc_codec.codecs.progic import ProgicCodec

WORKER = Path(__file__).with_name("matrix_worker.py")
# By model: what is decoded is up to the worker.
WORKERS = {
    "micro-lossless": WORKER.with_name("lossless_worker.py"),
    "micro-coded": WORKER.with_name("indices_worker.py"),
}
ROWS: dict[str, dict[str, str]] = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "two threads": {"OMP_NUM_THREADS": "2"},
    "torch without vector units": {"ATEN_CPU_CAPABILITY": "default"},
    "torch with avx2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "oneDNN on SSE4.1": {"DNNL_MAX_CPU_ISA": "SSE41"},
    "oneDNN on avx2": {"DNNL_MAX_CPU_ISA": "AVX2"},
    "MKL on SSE4.2": {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    "MKL on avx2": {"MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "MKL compatible": {"MKL_CBWR": "COMPATIBLE"},
    "everything old": {"DNNL_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "SSE4_2"},
    "bfloat16 allowed": {"DNNL_DEFAULT_FPMATH_MODE": "BF16"},
}
SLOW, THOROUGH = pytest.mark.slow, pytest.mark.thorough
FAST_ROWS = ("one thread", "torch without vector units")
THOROUGH_ROWS = ("two threads", "MKL on SSE4.2", "MKL compatible")
# Of each row whether it is run by default.
MARKED_ROWS = [
    name if name in FAST_ROWS else pytest.param(name, marks=THOROUGH if name in THOROUGH_ROWS else SLOW)
    for name in ROWS
]
# Other ways to compute the same, chosen inside the process.
FLAGS = ("--no-onednn", "--float64", "--autocast", "--one-query", "--one-chunk")


def digest(row: dict[str, str], home: Path, *arguments: str, worker: Path = WORKER) -> str:
    """Digest that the worker prints under the row's environment."""
    environment = {**os.environ, "ARPC_HOME": str(home), **row}
    if "OMP_NUM_THREADS" not in row:
        environment.pop("OMP_NUM_THREADS", None)
    command = [sys.executable, str(worker), *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module", params=["micro", "micro_planes"])
def words(
    request: pytest.FixtureRequest, picture: Callable[..., np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """A model, of sign bits or of integers, and two files of it: all scales of one picture, half of another's."""
    codec: ArpcCodec = request.getfixturevalue(request.param)
    folder = tmp_path_factory.mktemp("matrix")
    for name, data in {
        "whole.arpc": codec.encode(picture(320, 256)).data,
        "half.arpc": codec.encode(picture(200, 144, 3), scales=4).data,
    }.items():
        (folder / name).write_bytes(data)
    return [codec.bundle.entry.name, str(folder / "whole.arpc"), str(folder / "half.arpc")]


@pytest.fixture(scope="module")
def reference(micro_home: Path, words: list[str]) -> str:
    """Digest under this machine's defaults."""
    return digest({}, micro_home, *words)


@pytest.mark.parametrize("name", MARKED_ROWS)
def test_same_probabilities_everywhere(name: str, micro_home: Path, words: list[str], reference: str) -> None:
    assert digest(ROWS[name], micro_home, *words) == reference


@pytest.mark.parametrize("flag", ["--autocast", *(pytest.param(f, marks=SLOW) for f in FLAGS if f != "--autocast")])
def test_same_probabilities_in_other_ways(flag: str, micro_home: Path, words: list[str], reference: str) -> None:
    assert digest({}, micro_home, flag, *words) == reference


def test_noise_outside_exact_changes_nothing(micro_home: Path, words: list[str], reference: str) -> None:
    assert digest({}, micro_home, "--noise", *words) == reference


def test_matrix_can_fail(micro_home: Path, words: list[str]) -> None:
    """A float layer in place of an exact one must be seen by at least one row."""
    rows = (ROWS[name] for name in FAST_ROWS + THOROUGH_ROWS)
    first = digest(next(rows), micro_home, "--mutate", *words)
    assert any(digest(row, micro_home, "--mutate", *words) != first for row in rows)


@pytest.fixture(scope="module")
def references(micro_lossless: HpacCodec, micro_coded: ProgicCodec, micro_home: Path) -> dict[str, str]:
    """Digests of lossless files and of ProGIC indices under this machine's defaults."""
    return {model: digest({}, micro_home, model, worker=worker) for model, worker in WORKERS.items()}


@pytest.mark.parametrize("model", WORKERS)
@pytest.mark.parametrize("name", MARKED_ROWS)
def test_same_files_everywhere(name: str, model: str, micro_home: Path, references: dict[str, str]) -> None:
    assert digest(ROWS[name], micro_home, model, worker=WORKERS[model]) == references[model]


@pytest.mark.parametrize(
    ("model", "flag"),
    [
        *((model, "--autocast") for model in WORKERS),
        *(pytest.param(model, "--no-onednn", marks=THOROUGH) for model in WORKERS),
        *(pytest.param(model, "--float64", marks=SLOW) for model in WORKERS),
        ("micro-lossless", "--one-by-one"),
        ("micro-coded", "--small-chunks"),
    ],
)
def test_same_files_in_other_ways(flag: str, model: str, micro_home: Path, references: dict[str, str]) -> None:
    assert digest({}, micro_home, flag, model, worker=WORKERS[model]) == references[model]
