"""NIQE (Mittal, Soundararajan, Bovik 2013): naturalness without a reference, lower is better.

Fits a Gaussian to 36 statistics of 96x96 blocks at two scales of the luma and measures how far it
lies from the Gaussian of pristine photographs. Follows the MATLAB release: on its authors' test
picture `baboon.png` (500x480, BasicSR) MATLAB gives 5.7296 and this module 5.7300.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from arpc_codec.metrics import NotMeasurable
from arpc_codec.metrics.weights import weights_file

Array = NDArray[np.float64]

PARAMETERS = "niqe_pris_params.safetensors"
BLOCK = 96
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


def _luma(image: NDArray[np.uint8]) -> Array:
    """BT.601 studio-range luma 16..235 of RGB HxWx3, rounded as MATLAB's rgb2ycbcr does."""
    return np.asarray(np.rint(16 + image.astype(np.float64) @ (np.array([65.481, 128.553, 24.966]) / 255)))


def _filter(y_hw: Array, window: Array) -> Array:
    """Correlation with a small square window, edges repeated."""
    height, width = y_hw.shape
    padded = np.pad(y_hw, window.shape[0] // 2, mode="edge")
    out = np.zeros_like(y_hw)
    for (i, j), weight in np.ndenumerate(window):
        out += weight * padded[i : i + height, j : j + width]
    return out


def _halve(y_hw: Array) -> Array:
    """Half size by the anti-aliased bicubic of MATLAB's imresize (eight taps, edges mirrored)."""
    x = (np.arange(8) - 3.5) / 2
    near, far = 1.5 * abs(x) ** 3 - 2.5 * x**2 + 1, -0.5 * abs(x) ** 3 + 2.5 * x**2 - 4 * abs(x) + 2
    taps = np.where(abs(x) <= 1, near, far)
    taps /= taps.sum()
    for _ in range(2):
        padded = np.pad(y_hw, ((3, 3), (0, 0)), mode="symmetric")
        rows = padded.shape[0] - 7
        y_hw = sum(t * padded[i : i + rows : 2] for i, t in enumerate(taps)).T
    return y_hw


@lru_cache(maxsize=1)
def _shapes() -> tuple[Array, Array, Array]:
    """Shape parameters alpha, the moment ratio that each gives, and sqrt(G(1/alpha) / G(3/alpha))."""
    alpha = np.arange(0.2, 10.001, 0.001)
    log1, log2, log3 = (np.array([math.lgamma(n / a) for a in alpha]) for n in (1, 2, 3))
    return alpha, np.exp(2 * log2 - log1 - log3), np.exp((log1 - log3) / 2)


def _asymmetric(x_bn: Array) -> tuple[Array, Array, Array, Array]:
    """Asymmetric generalised Gaussian of each row: alpha, left and right width, and mean."""
    alphas, ratios, widths = _shapes()
    square = x_bn**2
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.sqrt((square * (x_bn < 0)).sum(1) / (x_bn < 0).sum(1))
        right = np.sqrt((square * (x_bn > 0)).sum(1) / (x_bn > 0).sum(1))
        g = left / right
        r = abs(x_bn).mean(1) ** 2 / square.mean(1)
        wanted = r * (g**3 + 1) * (g + 1) / (g**2 + 1) ** 2
    index = np.array([0 if np.isnan(w) else int(np.argmin((ratios - w) ** 2)) for w in wanted])
    alpha = alphas[index]
    left, right = left * widths[index], right * widths[index]
    ratio21 = np.array([math.exp(math.lgamma(2 / a) - math.lgamma(1 / a)) for a in alpha])
    return alpha, left, right, (right - left) * ratio21


def _features(y_hw: Array, window: Array, block: int) -> Array:
    """The 18 statistics of each block `[blocks, 18]` of a luma whose sides are multiples of `block`."""
    mean = _filter(y_hw, window)
    deviation = np.sqrt(abs(_filter(y_hw**2, window) - mean**2))
    normal = (y_hw - mean) / (deviation + 1)
    rows, columns = y_hw.shape[0] // block, y_hw.shape[1] // block
    blocks = normal.reshape(rows, block, columns, block).swapaxes(1, 2).reshape(-1, block, block)
    alpha, left, right, _ = _asymmetric(blocks.reshape(len(blocks), -1))
    columns_bf = [alpha, (left + right) / 2]
    for shift in _NEIGHBOURS:
        product = blocks * np.roll(blocks, shift, axis=(1, 2))
        alpha, left, right, middle = _asymmetric(product.reshape(len(blocks), -1))
        columns_bf += [alpha, middle, left, right]
    return np.stack(columns_bf, axis=1)


def niqe(image: NDArray[np.uint8], parameters: Path | str | None = None) -> float:
    """NIQE of RGB uint8 HxWx3. `parameters`: file or folder (see `weights_file`).

    Raises NotMeasurable when fewer than two 96x96 blocks can be measured, ModelError without parameters.
    """
    pristine = load_file(weights_file(PARAMETERS, parameters))
    rows, columns = image.shape[0] // BLOCK, image.shape[1] // BLOCK
    if rows * columns < 2:
        raise NotMeasurable("NIQE needs at least two blocks of 96x96 pixels")
    y_hw = _luma(image[: rows * BLOCK, : columns * BLOCK])
    window = pristine["gaussian_window"]
    fine, coarse = _features(y_hw, window, BLOCK), _features(_halve(y_hw), window, BLOCK // 2)
    features = np.concatenate([fine, coarse], axis=1)
    # A block with no sample on one side of zero (flat areas) has no width there.
    whole = features[~np.isnan(features).any(axis=1)]
    if len(whole) < 2:
        raise NotMeasurable("NIQE: the picture is flat almost everywhere")
    difference = pristine["mu_pris_param"][0] - np.nanmean(features, axis=0)
    covariance = (pristine["cov_pris_param"] + np.cov(whole, rowvar=False)) / 2
    return float(np.sqrt(difference @ np.linalg.pinv(covariance) @ difference))
