"""What stands in for constriction: the same words, symbols and refusals, and so the same files."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arpc_codec.entropy import portable

model = pytest.importorskip("constriction.stream.model")
queue = pytest.importorskip("constriction.stream.queue")

COUNT = 1 << 20
CODE = """
import sys
sys.modules["constriction"] = None
import hashlib
import numpy as np
import arpc_codec
from arpc_codec.entropy import rangecoder
assert rangecoder.RangeEncoder.__module__ == "arpc_codec.entropy.portable"
picture = (np.add.outer(3 * np.arange(48), np.arange(64))[..., None] % 251 + np.arange(3)).astype(np.uint8)
for options in {options!r}:
    data = arpc_codec.encode(picture, **options)
    print(hashlib.sha256(data).hexdigest(), hashlib.sha256(arpc_codec.decode_array(data).tobytes()).hexdigest())
"""
OPTIONS = ({"scales": 9}, {"codec": "progic", "stages": 2}, {"lossless": True})


def message(seed: int, n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Symbols and their probabilities, some next to nothing and some next to certain, as carries need them."""
    rng = np.random.default_rng(seed)
    weights = rng.random((n, m)) ** rng.choice([1, 8, 40])
    counts = 1 + np.floor(weights / weights.sum(1, keepdims=True) * (COUNT - 2 * m)).astype(np.int64)
    counts[np.arange(n), rng.integers(0, m, n)] += COUNT - counts.sum(1)
    likeliest = rng.random() < 0.7
    symbols = counts.argmax(1) if likeliest else rng.integers(0, m, n)
    return symbols.astype(np.int32), counts / COUNT


def compared(symbols: np.ndarray, probabilities: np.ndarray, family: str, cut: int) -> None:
    families = [getattr(part, family)(perfect=False) for part in (model, portable)]
    coders = [queue.RangeEncoder(), portable.RangeEncoder()]
    for part in (slice(0, cut), slice(cut, None)):
        for coder, own in zip(coders, families, strict=True):
            coder.encode(np.ascontiguousarray(symbols[part]), own, np.ascontiguousarray(probabilities[part]))
        positions = [coder.pos() for coder in coders]
        assert positions[0] == positions[1]
    words = [coder.get_compressed() for coder in coders]
    assert np.array_equal(*words)
    decoder = portable.RangeDecoder(words[0])
    parts = [decoder.decode(families[1], probabilities[part]) for part in (slice(0, cut), slice(cut, None))]
    assert np.array_equal(np.concatenate(parts), symbols)


@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(2, 66))
def test_choices(seed: int, n: int, m: int) -> None:
    compared(*message(seed, n, m), "Categorical", n // 3)


@given(st.integers(0, 2**32), st.integers(1, 2000))
def test_bits(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    p1 = rng.choice([1, 3, 1 << 15, 65533, 65535, int(rng.integers(1, 65536))], n) / 65536
    bits = (rng.random(n) < p1).astype(np.int32)
    compared(bits, p1, "Bernoulli", n // 3)


@given(st.binary(max_size=40), st.integers(0, 2**32))
def test_any_bytes(data: bytes, seed: int) -> None:
    """Both decode the same from them, or both refuse."""
    words = np.frombuffer(data + bytes(-len(data) % 4), ">u4").astype(np.uint32)
    _, probabilities = message(seed, 60, 18)
    found = []
    for coder, family in ((queue, model), (portable, portable)):
        try:
            found.append(coder.RangeDecoder(words).decode(family.Categorical(perfect=False), probabilities).tolist())
        except BaseException as error:
            if type(error).__name__ not in ("AssertionError", "PanicException"):
                raise
            found.append(None)
    assert found[0] == found[1]


def test_impossible_words() -> None:
    with pytest.raises(AssertionError):
        portable.RangeDecoder(np.full(4, 2**32 - 1, np.uint32)).decode(
            portable.Categorical(perfect=False), np.full((60, 3), 1 / 3)
        )


def test_files_are_the_same_without_constriction() -> None:
    import arpc_codec

    picture = (np.add.outer(3 * np.arange(48), np.arange(64))[..., None] % 251 + np.arange(3)).astype(np.uint8)
    # numpy does the lossless work there, which uses the range coder.
    env = {**os.environ, "ARPC_NATIVE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(options=OPTIONS)], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for line, options in zip(done.stdout.splitlines(), OPTIONS, strict=True):
        data = arpc_codec.encode(picture, **options)
        samples = arpc_codec.decode_array(data)
        assert line.split() == [hashlib.sha256(part).hexdigest() for part in (data, samples.tobytes())]
