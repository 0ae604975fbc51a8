"""Start of a tokenizer or a ProGIC network: the best linear transform codec of the training pictures.

Encoder: the first Karhunen-Loeve components of 16x16 patches. Decoder: least squares from the quantised latent's 3x3
neighbourhood to the patch, as large as its linear path draws it. Learning these by gradient descent would cost most of
a short run.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..tokenizer import STRIDE
from ..tokenizer.progic import ProgicDecoder

# Mean standard deviation of the components of `fit_transform`.
AMPLITUDE = 0.45
RIDGE = 1e-3
SIDE = 256
# Pictures whose neighbourhoods are gathered at a time.
FITTED = 20


@torch.no_grad()
def fit_transform(linear: nn.Conv2d, x_bchw: Tensor, spread: float) -> Tensor:
    """Make the encoder's linear path the first Karhunen-Loeve components of the pictures; returns their factors.

    Component i gets a standard deviation proportional to eigenvalue^(spread/2), AMPLITUDE on average.
    """
    patches = F.pixel_unshuffle(x_bchw, STRIDE).permute(0, 2, 3, 1).flatten(0, 2)
    mean = patches.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov((patches - mean).T).double())
    channels = linear.out_channels
    values, vectors = values.flip(0)[:channels].float(), vectors.flip(1)[:, :channels].float()
    deviation = values ** (spread / 2)
    scale = AMPLITUDE * deviation / deviation.mean() / values.sqrt()
    weight = (vectors * scale).T
    linear.weight.copy_(weight[:, :, None, None])
    linear.bias = nn.Parameter(-weight @ mean)
    return scale


@torch.no_grad()
def fit_components(linear: nn.Conv2d, x_bchw: Tensor, factor: float, colour_33: Tensor) -> None:
    """Make the encoder's linear path `factor` times the first Karhunen-Loeve components of the pictures.

    Components are orthonormal, and carry most, in colours that `colour_33` makes of red, green and blue: where an error
    weighs more, the same step is a finer one.
    """
    patches = F.pixel_unshuffle(torch.einsum("ij,bjhw->bihw", colour_33, x_bchw), STRIDE).permute(0, 2, 3, 1)
    patches = patches.flatten(0, 2)
    mean = patches.mean(0)
    vectors = torch.linalg.eigh(torch.cov((patches - mean).T).double())[1].flip(1)[:, : linear.out_channels].float()
    weight = factor * vectors.T
    own = torch.einsum("ocp,cj->ojp", weight.unflatten(1, (3, -1)), colour_33).flatten(1)
    linear.weight.copy_(own[:, :, None, None])
    linear.bias = nn.Parameter(-weight @ mean)


@torch.no_grad()
def fit_draft(decoder: ProgicDecoder, latents: Iterable[Tensor], x_bchw: Tensor) -> None:
    """Ridge regression from 3x3 neighbourhoods of quantised latents of the pictures to pixels of the linear path.

    A latent that comes twice counts twice.
    """
    linear, drawn = decoder.linear, decoder.linear_size
    patches_bchw = F.pixel_unshuffle(F.avg_pool2d(x_bchw, drawn), STRIDE // drawn)
    target = patches_bchw.permute(0, 2, 3, 1).flatten(0, 2)
    size = 9 * linear.in_channels + 1
    gram, cross = torch.zeros(size, size, dtype=torch.float64), torch.zeros(size, target.shape[1], dtype=torch.float64)
    for z_bchw in latents:
        cells = z_bchw.shape[-2] * z_bchw.shape[-1]
        for z, wanted in zip(z_bchw.split(FITTED), target.split(FITTED * cells), strict=True):
            columns = F.unfold(z, 3, padding=1).transpose(1, 2).flatten(0, 1)
            columns = torch.cat([columns, torch.ones(len(columns), 1)], 1).double()
            gram += columns.T @ columns
            cross += columns.T @ wanted.double()
    gram += RIDGE * gram.diagonal().mean() * torch.eye(size, dtype=torch.float64)
    solution = torch.linalg.solve(gram, cross).float().T
    linear.weight.copy_(solution[:, :-1].unflatten(1, (-1, 3, 3)))
    linear.bias = nn.Parameter(solution[:, -1].clone())
