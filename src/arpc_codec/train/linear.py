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

from arpc_codec.tokenizer import STRIDE
from arpc_codec.tokenizer.progic import ProgicDecoder

# Mean standard deviation of components without a factor.
AMPLITUDE = 0.45
RIDGE = 1e-3
SIDE = 256
# Pictures whose neighbourhoods are gathered at a time.
FITTED = 20


@torch.no_grad()
def fit_components(
    linear: nn.Conv2d, x_bchw: Tensor, factor: float | None = None, colour_33: Tensor | None = None
) -> None:
    """Make the encoder's linear path `factor` times the first Karhunen-Loeve components of the pictures.

    None: times what makes their mean standard deviation AMPLITUDE. Components are orthonormal, and carry most, in
    colours that `colour_33` makes of red, green and blue (None: these): where an error weighs more, the same step is a
    finer one.
    """
    colour = torch.eye(3) if colour_33 is None else colour_33
    patches = F.pixel_unshuffle(torch.einsum("ij,bjhw->bihw", colour, x_bchw), STRIDE).permute(0, 2, 3, 1)
    patches = patches.flatten(0, 2)
    mean = patches.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov((patches - mean).T).double())
    values, vectors = (part.flip(-1)[..., : linear.out_channels].float() for part in (values, vectors))
    if factor is None:
        factor = AMPLITUDE / float(values.sqrt().mean())
    weight = factor * vectors.T
    own = torch.einsum("ocp,cj->ojp", weight.unflatten(1, (3, -1)), colour).flatten(1)
    linear.weight.copy_(own[:, :, None, None])
    linear.bias = nn.Parameter(-weight @ mean)


@torch.no_grad()
def refine_means(linear: nn.Conv2d, light: float, colour: float) -> None:
    """Multiply components that are means of a cell, of light or of a colour difference: the same step is a finer one.

    Steps between cells are seen where the picture is smooth, and most of all steps of colour.
    """
    rows = linear.weight.flatten(1).unflatten(1, (3, -1))
    means = rows.mean(2)
    is_mean = means.square().sum(1) * rows.shape[2] > 0.9 * rows.square().sum((1, 2))
    is_light = means.sum(1).square() > 0.5 * 3 * means.square().sum(1)
    factor = torch.where(is_mean, torch.where(is_light, light, colour), 1.0)
    linear.weight.mul_(factor[:, None, None, None])
    assert linear.bias is not None
    linear.bias.mul_(factor)


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
