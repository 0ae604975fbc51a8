"""Frechet distance between the features of two pictures: is the texture of the same kind, wherever it lies?

That of a single picture (SIFID; Shaham, Dekel, Michaeli, ICCV 2019), here of AlexNet's last features instead of
Inception's, each of unit length: Gaussians are fitted to the vectors at all positions of either picture.
"""

from __future__ import annotations

import torch
from torch import Tensor

from arpc_codec.metrics import NotMeasurable

# Fewer positions make no Gaussian.
LEAST_POSITIONS = 64


def frechet(a_chw: Tensor, b_chw: Tensor) -> float:
    """|mean a - mean b|^2 + tr(A + B - 2 (A B)^(1/2)), A and B the covariances over positions, 0 for equal features.

    Raises NotMeasurable for maps of fewer than 64 positions.
    """
    if min(a_chw[0].numel(), b_chw[0].numel()) < LEAST_POSITIONS:
        raise NotMeasurable(f"features at {LEAST_POSITIONS} positions at least")
    (mean_a, cov_a), (mean_b, cov_b) = (_gaussian(features.flatten(1).double()) for features in (a_chw, b_chw))
    # (A B)^(1/2) has the trace of (A^(1/2) B A^(1/2))^(1/2), which is symmetric.
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    common = torch.linalg.eigvalsh(root @ cov_b @ root).clamp_min(0).sqrt().sum()
    return max(0.0, float((mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * common))


def _gaussian(features_cn: Tensor) -> tuple[Tensor, Tensor]:
    return features_cn.mean(1), torch.cov(features_cn)
