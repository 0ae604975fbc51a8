"""All measures of a decoded picture at once; one that cannot run is reported as missing."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from arpc_codec.errors import ModelError
from arpc_codec.metrics import NotMeasurable
from arpc_codec.metrics.vmaf import missing as lacks_vmaf
from arpc_codec.metrics.weights import weights_file

if TYPE_CHECKING:
    from torch import Tensor

    from arpc_codec.metrics.lpips import LPIPS, Net

Image_u8 = NDArray[np.uint8]
Measure = Callable[[Image_u8, Image_u8, Path | None], float]


@dataclass(frozen=True)
class Metric:
    """One measure: how it is called in tables, which way is better, and what it needs."""

    name: str
    title: str
    higher_is_better: bool
    measure: Measure
    package: str = ""
    weights: str = ""
    # Why something else that it needs is not here, or None.
    absent: Callable[[], str | None] = lambda: None
    # Raise it when the numbers of this measure change, so that kept results are not reused.
    version: int = 1
    digits: int = 3
    # Scores are clipped here, so that equal ones down there order nothing.
    floor: float = -math.inf

    @property
    def better(self) -> str:
        """Which way is better, in a word."""
        return "higher" if self.higher_is_better else "lower"

    def missing(self, weights: Path | None = None) -> str | None:
        """Why this measure cannot run here, or None when it can."""
        if self.package and importlib.util.find_spec(self.package) is None:
            return f"package {self.package} is not installed"
        if self.weights:
            try:
                weights_file(self.weights, weights)
            except ModelError as error:
                return str(error)
        return self.absent()


def _psnr(reference: Image_u8, decoded: Image_u8, weights: Path | None) -> float:
    from arpc_codec.metrics.psnr import psnr

    return psnr(reference, decoded)


def _ms_ssim(reference: Image_u8, decoded: Image_u8, weights: Path | None) -> float:
    from arpc_codec.metrics.msssim import ms_ssim

    return ms_ssim(reference, decoded)


def _ssimulacra2(reference: Image_u8, decoded: Image_u8, weights: Path | None) -> float:
    from arpc_codec.metrics.ssimulacra2 import ssimulacra2_py

    return ssimulacra2_py(reference, decoded)


def _vmaf(reference: Image_u8, decoded: Image_u8, weights: Path | None) -> float:
    from arpc_codec.metrics.vmaf import vmaf

    return vmaf(reference, decoded)


def _niqe(reference: Image_u8, decoded: Image_u8, weights: Path | None) -> float:
    from arpc_codec.metrics.niqe import niqe

    return niqe(decoded, weights)


def _lpips(net: Net) -> Measure:
    def measure(reference: Image_u8, decoded: Image_u8, weights: Path | None) -> float:
        features = _Features.of(net, weights)
        return float(features.model.distance(features(reference), features(decoded)))

    return measure


def _frechet(reference: Image_u8, decoded: Image_u8, weights: Path | None) -> float:
    from arpc_codec.metrics.frechet import frechet

    features = _Features.of("alex", weights)
    return frechet(features(reference)[-1][0], features(decoded)[-1][0])


class _Features:
    """Feature maps of pictures. Those of the last two are kept: many are measured beside one, by several measures."""

    KEPT = 2

    def __init__(self, model: LPIPS) -> None:
        self.model = model
        self.last: list[tuple[Image_u8, list[Tensor]]] = []

    @staticmethod
    @lru_cache(maxsize=4)
    def of(net: Net, weights: Path | None) -> _Features:
        from arpc_codec.metrics.lpips import LPIPS

        return _Features(LPIPS(net, weights))

    def __call__(self, image: Image_u8) -> list[Tensor]:
        import torch

        found = next((one for one in self.last if np.array_equal(one[0], image)), None)
        if found is None:
            tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1
            with torch.inference_mode():
                found = image.copy(), self.model.feature_maps(tensor)
        self.last = [found, *(one for one in self.last if one is not found)][: self.KEPT]
        return found[1]


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("lpips_alex", "LPIPS-Alex", False, _lpips("alex"), weights="lpips_alex_v0.1.safetensors"),
        Metric("lpips_squeeze", "LPIPS-Squeeze", False, _lpips("squeeze"), weights="lpips_squeeze_v0.1.safetensors"),
        Metric("ssimulacra2-py", "SSIMULACRA2-py", True, _ssimulacra2, package="ssimulacra2", digits=1),
        Metric("vmaf", "VMAF", True, _vmaf, absent=lacks_vmaf, digits=1, floor=0.0),
        Metric("ms_ssim", "MS-SSIM", True, _ms_ssim, package="pytorch_msssim"),
        Metric("frechet", "Fréchet-Alex", False, _frechet, weights="lpips_alex_v0.1.safetensors"),
        Metric("niqe", "NIQE", False, _niqe, weights="niqe_pris_params.safetensors", digits=2),
        Metric("psnr", "PSNR", True, _psnr, digits=2),
    )
}


def missing_metrics(weights: Path | None = None) -> dict[str, str]:
    """Name of each measure that cannot run here, with the reason."""
    reasons = {name: metric.missing(weights) for name, metric in METRICS.items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def require_weights(weights: Path) -> None:
    """Raises ModelError when the folder lacks a file of some measure."""
    for metric in METRICS.values():
        if metric.weights:
            weights_file(metric.weights, weights)


def panel(
    reference: Image_u8,
    decoded: Image_u8,
    *,
    names: Iterable[str] = tuple(METRICS),
    weights: Path | None = None,
) -> dict[str, float | None]:
    """Measures of a decoded picture, RGB uint8 HxWx3 beside its reference of the same shape.

    A measure that is missing here (`missing_metrics` says why), or that cannot judge a picture of
    this size, is None. `weights`: folder of the networks, or None for the environment's.
    Raises ValueError when the shapes differ.
    """
    if reference.shape != decoded.shape or reference.ndim != 3 or reference.shape[2] != 3:
        raise ValueError(f"need two HxWx3 pictures of one size, not {reference.shape} and {decoded.shape}")
    values: dict[str, float | None] = {}
    for name in names:
        metric = METRICS[name]
        values[name] = None
        if metric.missing(weights) is None:
            try:
                values[name] = metric.measure(reference, decoded, weights)
            except NotMeasurable:
                continue
    return values
