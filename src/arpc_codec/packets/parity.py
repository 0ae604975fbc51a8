"""Parity packets: of a group of packets and its parities any as many as the group has give all of it back.

Reed-Solomon with a Cauchy matrix over the bytes as the field GF(2^8) of x^8 + x^4 + x^3 + x^2 + 1.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# Most packets of a group, and most parities of one: together the elements of the field.
MOST_OF_GROUP = 128
_POLYNOMIAL = 0x11D


def groups(count: int) -> int:
    """How many groups `count` packets make: packet p is number p // groups of group p % groups, parity p likewise."""
    return -(-count // MOST_OF_GROUP)


def protect(members_ml: np.ndarray, parity: int) -> np.ndarray:
    """The bytes [L] of a parity, which counts from 0, of the packets of a group, uint8 [M, L]."""
    return _combine(_row(parity, len(members_ml)), members_ml)


def recover(count: int, members: Mapping[int, np.ndarray], parities: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
    """The packets of a group of `count` that are not among `members`; none when there are too few parities.

    members, parities: bytes of equal length by their number in the group.
    """
    lost = [number for number in range(count) if number not in members]
    chosen = sorted(parities)[: len(lost)]
    if not lost or len(chosen) < len(lost):
        return {}
    rows = np.stack([_row(parity, count) for parity in chosen])
    right = np.stack([parities[parity] for parity in chosen])
    if members:
        there = sorted(members)
        known = np.stack([members[number] for number in there])
        right ^= np.stack([_combine(row, known) for row in rows[:, there]])
    return dict(zip(lost, _solve(rows[:, lost], right), strict=True))


def _row(parity: int, count: int) -> np.ndarray:
    """Factors of the packets of a group in one of its parities."""
    return _INVERSE[(MOST_OF_GROUP + parity) ^ np.arange(count)]


def _combine(factors_m: np.ndarray, members_ml: np.ndarray) -> np.ndarray:
    """Sum of products."""
    total = np.zeros(members_ml.shape[1], np.uint8)
    for factor, member in zip(factors_m, members_ml, strict=True):
        total ^= _PRODUCT[factor, member]
    return total


def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """x with matrix x = right. Every square part of a Cauchy matrix can be inverted, so no pivot is 0."""
    rows = np.concatenate([matrix, right], 1)
    for at in range(len(rows)):
        rows[at] = _PRODUCT[_INVERSE[rows[at, at]], rows[at]]
        for other in range(len(rows)):
            if other != at:
                rows[other] ^= _PRODUCT[rows[other, at], rows[at]]
    return rows[:, len(rows) :]


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Products of all pairs [256, 256], and inverses [256] (0 for 0)."""
    powers, value = [], 1
    for _ in range(255):
        powers.append(value)
        value = value << 1 ^ (_POLYNOMIAL if value & 0x80 else 0)
    power = np.array(powers, np.uint8)
    log = np.zeros(256, np.int64)
    log[power] = np.arange(255)
    product = power[(log[:, None] + log) % 255]
    product[0], product[:, 0] = 0, 0
    inverse = power[-log % 255]
    inverse[0] = 0
    return product, inverse


_PRODUCT, _INVERSE = _tables()
