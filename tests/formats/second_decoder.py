"""A second decoder of tokens that are integers, of pictures without tiles.

Written from formats/arpc-v1.md and formats/models-v1.md alone, with their names. Cells stand in arrays [row, column,
...], numbers are 64-bit floats. It has numpy for the arithmetic, constriction for the range coder, and nothing of
arpc_codec.
"""

from __future__ import annotations

import json
import math
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import constriction
import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

Array = npt.NDArray[Any]
Size = tuple[int, int]
PHASES = tuple(np.s_[row::2, column::2] for row, column in ((0, 0), (1, 1), (0, 1), (1, 0)))
# Which of the five bits of an integer has to be 1 for each of them to be asked.
ASKED_AFTER = (None, 0, 0, 2, 3)


class Damaged(Exception):
    """Bytes that no encoder wrote, or a wrong check byte."""


class Model(NamedTuple):
    """What a model folder says: config.json, and the tensors of the prior and of the tokenizer."""

    config: dict[str, Any]
    tensors: dict[str, Array]

    @classmethod
    def read(cls, folder: Path) -> Model:
        tensors = load_file(folder / "tokenizer.safetensors") | load_file(folder / "prior.safetensors")
        return cls(json.loads((folder / "config.json").read_text("utf-8")), tensors)


def to_grid(x: Array, bits: int, limit: float = math.inf) -> Array:
    """To a multiple of 2^-bits, half to even, then held within +-limit."""
    return np.clip(np.rint(x * 2.0**bits) * 2.0**-bits, -limit, limit)


def rounded(x: Array) -> Array:
    return to_grid(x, 12, 128)


def norm(x: Array) -> Array:
    n = x.shape[-1]
    c = rounded(x - x.sum(-1, keepdims=True) / n)
    return to_grid(c / np.sqrt((c * c).sum(-1, keepdims=True) / n + 1e-6), 12, 32)


def with_sizes(x: Array, *more: Array) -> Array:
    return np.concatenate([x, abs(x), *more], -1)


def neighbours(x: Array) -> list[Array]:
    """The 3x3 cells around every cell, row by row, 0 beyond the edges."""
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    return [padded[row:, column:][: x.shape[0], : x.shape[1]] for row in range(3) for column in range(3)]


def four_sums(x: Array) -> list[Array]:
    """Sizes at the sides and at the corners; values to the left and right; above and below."""
    a, above, b, left, _, right, c, below, d = neighbours(x)
    sides, corners = (abs(p) + abs(q) + abs(r) + abs(s) for p, q, r, s in ((left, right, above, below), (a, b, c, d)))
    return [sides, corners, left + right, above + below]


def two_away(x: Array) -> Array:
    """Sizes at the sixteen cells two rows or two columns away, or both."""
    padded = np.pad(abs(x), ((2, 2), (2, 2), (0, 0)))
    ring = [(row, column) for row in range(5) for column in range(5) if max(abs(row - 2), abs(column - 2)) == 2]
    return np.sum([padded[row:, column:][: x.shape[0], : x.shape[1]] for row, column in ring], 0)


def schedule(height: int, width: int, repeats: int) -> list[Size]:
    rows, columns, n = -(-height // 16), -(-width // 16), 4
    sizes = [(rows, columns)] * repeats
    while sizes[0] != (1, 1):
        sizes.insert(0, (-(-rows // n), -(-columns // n)))
        n *= 2
    return sizes


def weights_of_axis(n: int, size: int) -> Array:
    """What each of `size` cells takes of each of n."""
    weights = np.zeros((size, n))
    for i in range(size):
        p = max(0, (2 * i + 1) * n - size)
        j = min(p // (2 * size), n - 1)
        w = (2**13 * (p % (2 * size)) + 2 * size) // (4 * size)
        weights[i, j] += (2**12 - w) / 2**12
        weights[i, min(j + 1, n - 1)] += w / 2**12
    return weights


def resampled(x: Array, size: Size) -> Array:
    rows, columns = map(weights_of_axis, x.shape[:2], size)
    return np.einsum("ir,jc,rcd->ijd", rows, columns, x)


class ExactPrior:
    """n of every bit: `scale` begins a scale, `phase` a phase of it, and `counts` follows the groups."""

    def __init__(self, model: Model, sizes: list[Size]) -> None:
        self.tensors, self.config, self.whole = model.tensors, model.config["prior"], sizes[-1]
        self.channels, self.units = self.config["groups"][-1], self.config["units"]
        self.s, self.T, self.told = 0, len(sizes) - self.config["repeats"], np.zeros(0)
        # Of each block.
        self.keys, self.values = ([list[Array]() for _ in range(self.config["depth"])] for _ in range(2))

    def tensor(self, name: str, bits: int = 20) -> Array:
        """In units of 2^-bits."""
        return self.tensors[name].astype(float) * 2.0**-bits

    def weight(self, name: str) -> Array:
        return self.tensors[f"{name}.weight"] * 2.0 ** -self.tensors[f"{name}.exponent"].astype(float)[:, None]

    def layer(self, name: str, x: Array) -> Array:
        return rounded(x @ self.weight(name).T + self.tensor(f"{name}.bias"))

    def convolution(self, name: str, x: Array) -> Array:
        return self.layer(name, np.stack(neighbours(x), -1).reshape(*x.shape[:2], -1))

    def own(self, shown: list[Array], columns: slice) -> Array:
        """What each channel's units make of its own numbers."""
        weight = self.weight("context.own").reshape(self.channels, self.units, 11)[..., columns]
        return rounded(np.einsum("ijcx,cux->ijcu", np.stack(shown, -1), weight))

    def scale(self, f: int, seen: Array, step: float, size: Size) -> None:
        if self.s < self.T:
            self.told = self.trunk(seen, size)
        self.s, self.l = self.s + 1, min(f, self.config["levels"] - 1)
        level = rounded(self.tensor("context.level")[self.l])
        v = to_grid(seen / step, 12, 8)
        self.F = rounded(self.layer("context.feature", self.told) + level)
        self.F = rounded(self.F + self.convolution("context.seen", with_sizes(v)))
        cell = self.layer("context.cell", with_sizes(v)).reshape(*size, self.channels, self.units)
        self.A = rounded(self.own([v, abs(v), *four_sums(v), two_away(v)], slice(0, 7)) + cell)

    def phase(self, phase: int, t: Array) -> None:
        k = np.zeros((*t.shape[:2], 1))
        for earlier in PHASES[:phase]:
            k[earlier] = 1
        N = np.maximum(0, rounded(self.F + self.convolution("context.known", with_sizes(t, k))))
        N = np.maximum(0, self.convolution("context.conv1", N))
        N = np.maximum(0, self.convolution("context.conv2", N))
        place = rounded(self.tensor("context.place")[self.l, phase]).reshape(self.channels, self.units)
        own = self.own(four_sums(t), slice(7, 11))
        B = rounded(self.layer("context.up", N).reshape(own.shape) + own + place)
        self.A_and_B = (self.A + B)[PHASES[phase]]

    def counts(self, g: Array) -> Array:
        """[..., 5, channel] of the positions of the phase; g: integers of the groups that are known, 0 elsewhere."""
        G = rounded(with_sizes(g) @ self.weight("context.earlier").T)
        units = np.maximum(0, rounded(self.A_and_B + G.reshape(self.A_and_B.shape)))
        out = self.weight("context.out").reshape(self.channels, 5, self.units)
        bias = rounded(self.tensor("context.bias")[self.l]).reshape(self.channels, 5).T
        logits = rounded(np.einsum("ijcu,csu->ijsc", units, out)) + bias
        n: Array = self.tensors["tables.probability"][768 + np.clip(np.rint(logits * 2**6), -768, 768).astype(int)]
        return n

    def trunk(self, seen: Array, size: Size) -> Array:
        cells = size[0] * size[1]
        x = self.layer("word", seen.reshape(cells, -1)) if self.s else rounded(self.tensor("start"))
        embedding = self.tensor("level")[self.s]
        if self.config["scale_embed"] == "index+end":
            embedding = embedding + self.tensor("end")[self.T - 1 - self.s]
        x = rounded(x + embedding) * np.ones((cells, 1))
        for i in range(self.config["depth"]):
            x = rounded(x + self.layer(f"blocks.{i}.proj", self.attention(i, norm(x), size)))
            y = self.layer(f"blocks.{i}.fc1", norm(x))
            r = np.clip(np.rint(y * 2**9), -4096, 4096).astype(int)
            y = np.maximum(y, 0) + self.tensor("tables.gelu", 12)[4096 + r]
            x = rounded(x + self.layer(f"blocks.{i}.fc2", y))
        return norm(x).reshape(*size, -1)

    def attention(self, i: int, x: Array, size: Size) -> Array:
        """[cell, channel]; inside by heads, [head, cell, channel]."""
        qkv = self.layer(f"blocks.{i}.qkv", x).reshape(len(x), 3, self.config["num_heads"], -1)
        q, k, v = qkv.transpose(1, 2, 0, 3)
        if not self.config["key_tokens"] or len(x) <= self.config["key_tokens"]:
            self.keys[i].append(self.turned(k, size))
            self.values[i].append(to_grid(v, 10, 32))
        products = self.turned(q, size) @ np.concatenate(self.keys[i], 1).swapaxes(1, 2)
        less = (products.max(-1, keepdims=True) - products).astype(np.float32)
        temperature = self.tensor(f"blocks.{i}.temperature", 13).astype(np.float32)[:, None, None]
        weight = self.tensor("tables.exp", 0)[np.minimum(2047, np.rint(less * temperature)).astype(int)]
        mean = rounded(weight @ np.concatenate(self.values[i], 1) / weight.sum(-1, keepdims=True))
        return mean.swapaxes(0, 1).reshape(len(x), -1)

    def turned(self, x: Array, size: Size) -> Array:
        """Queries or keys of length 1, turned by their positions."""
        x = to_grid(x, 10, 128)
        x = to_grid(x / np.sqrt(np.maximum((x * x).sum(-1, keepdims=True), 2.0**-20)), 11)
        rows, columns = ([round(Fraction(i * m, n)) for i in range(n)] for n, m in zip(size, self.whole, strict=True))
        table = self.tensor("tables.rotation", 14)
        cos, sin = np.concatenate([table[:, np.repeat(rows, size[1])], table[:, np.tile(columns, size[0])]], -1)
        a, b = x[..., 0::2], x[..., 1::2]
        return to_grid(np.stack([a * cos - b * sin, a * sin + b * cos], -1), 11).reshape(x.shape)


class Stream:
    """Bits of a segment; constriction reads zeros behind its end."""

    def __init__(self, segment: bytes) -> None:
        words = np.frombuffer(segment + bytes(-len(segment) % 4), ">u4").astype(np.uint32)
        self.decoder = constriction.stream.queue.RangeDecoder(words)
        self.family = constriction.stream.model.Bernoulli(perfect=False)

    def bits(self, n: Array) -> Array:
        try:
            return np.asarray(self.decoder.decode(self.family, n / 65536)) == 1
        except AssertionError as error:
            raise Damaged("bytes that no encoder wrote") from error

    def group(self, n: Array, sent: bool) -> Array:
        """Bits of a group from their n, [..., 5, channel]; the likelier ones if they were not sent."""
        group = np.zeros(n.shape, bool)
        for part, after in enumerate(ASKED_AFTER):
            asked = np.ones_like(group[..., 0, :]) if after is None else group[..., after, :]
            told = n[..., part, :][asked]
            group[..., part, :][asked] = self.bits(told) if sent else told > 32768
        return group


class Decoder:
    """Of one picture: the sum z of the scales so far, and the check byte of the last of them, if it has one."""

    def __init__(self, model: Model, height: int, width: int, portable: bool) -> None:
        self.config, self.sizes, self.i = (
            model.config["tokenizer"],
            schedule(height, width, model.config["tokenizer"]["repeats"]),
            0,
        )
        self.fingerprint = bytes.fromhex(model.config["fingerprint"])
        self.chances = model.tensors["quantizer.chances"].astype(float)
        self.prior = None if portable else ExactPrior(model, self.sizes)
        self.z = np.zeros((*self.sizes[-1], self.config["channels"]))
        self.check: int | None = None
        # How many there are, and all that goes into the next check byte.
        self.tokens, self.unchecked = 0, b""

    def scale(self, segment: bytes, phases: int = 4) -> Array:
        """All bits [row, column, place] of the next scale, of which so many phases were sent. Raises Damaged."""
        size, f = self.sizes[self.i], len(self.sizes) - 1 - self.i
        step, first, active = (
            values[min(f, len(values) - 1)]
            for values in (self.config["steps"], self.config["resting"] or [0], self.config["active"])
        )
        step = round(step * 2**12) / 2**12
        if self.prior:
            self.prior.scale(f, rounded(resampled(rounded(self.z), size)), step, size)
        stream, integers = Stream(segment), np.zeros((*size, self.config["channels"]))
        bits, sent = np.zeros((*size, 5 * self.config["channels"]), bool), np.zeros((*size, 1), bool)
        for phase, positions in enumerate(PHASES):
            if self.prior:
                self.prior.phase(phase, integers)
            here = integers[positions]
            for a, b in zip((0, *self.config["groups"]), self.config["groups"], strict=False):
                if first <= a and b <= active:
                    n = self.prior.counts(here)[..., a:b] if self.prior else self.portable(f, a, b, here.shape[:2])
                    group = stream.group(n, phase < phases)
                    bits[positions][..., 5 * a : 5 * b] = group.reshape(*here.shape[:2], 5 * (b - a))
                    value = group[..., 0, :] + group[..., 2:, :].sum(-2)
                    here[..., a:b] = np.where(group[..., 1, :], -value, value)
            sent[positions] = phase < phases
        self.check = None
        self.tokens += int(sent.sum())
        self.unchecked += bytes([self.i]) + np.packbits(bits & sent).tobytes()
        if self.tokens >= 16 or self.i + 1 == len(self.sizes):
            self.check = int(np.packbits(stream.bits(np.full(8, 32768)))[0])
            if self.check != zlib.crc32(self.fingerprint + self.unchecked) & 255:
                raise Damaged(f"check byte of scale {self.i}")
            self.tokens, self.unchecked = 0, b""
        self.z += resampled(integers * step, self.sizes[-1])
        self.i += 1
        return bits

    def portable(self, f: int, a: int, b: int, cells: Size) -> Array:
        """n of a group without prior, [..., 5, channel]."""
        row = 65536 * self.chances[min(f, len(self.chances) - 1)]
        return np.broadcast_to(row[5 * a : 5 * b].reshape(5, b - a), (*cells, 5, b - a))
