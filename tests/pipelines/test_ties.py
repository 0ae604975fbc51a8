"""Close choices between entries: the same indices, though the encoder's sums were rounded in another way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from arpc_codec.codecs import ties
from arpc_codec.codecs.lossy import analyse
from arpc_codec.codecs.progic import ProgicCodec
from arpc_codec.codecs.tiles import Windows

Picture = Callable[..., np.ndarray]
WHOLE = Windows(1000, 0)


def latent(codec: ProgicCodec, cells: np.ndarray) -> torch.Tensor:
    return analyse(codec.network.encoder, cells, torch.device("cpu"), WHOLE)


@torch.inference_mode()
def test_rounding_turns_no_choice(micro_progic: ProgicCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding as coarse as a thousandth: the choices for y alone differ, the settled ones do not."""
    monkeypatch.setattr(ties, "NOISE", 5e-3)
    cells = picture(320, 288)[None]
    y, quantizer = latent(micro_progic, cells), micro_progic.network.quantizer
    wanted = micro_progic.ties.settle(cells, y, quantizer(y))
    turned = 0
    for seed in range(3):
        moved = y + 1e-3 * y.std() * torch.randn(y.shape, generator=torch.Generator().manual_seed(seed)).clamp(-3, 3)
        turned += int((quantizer(moved).indices.numpy() != quantizer(y).indices.numpy()).sum())
        assert np.array_equal(micro_progic.ties.settle(cells, moved, quantizer(moved)), wanted)
    assert turned


@torch.inference_mode()
def test_few_choices_are_close(micro_progic: ProgicCodec, picture: Picture) -> None:
    """Nothing is encoded twice for an everyday picture, and what is settled is the nearest entry."""
    cells = picture(160, 176)[None]
    y = latent(micro_progic, cells)
    quantized = micro_progic.network.quantizer(y)
    assert len(micro_progic.ties.close(y.numpy(), quantized.indices.numpy(), quantized.leads.numpy())) <= 1
    assert np.array_equal(micro_progic.ties.settle(cells, y, quantized), quantized.indices.numpy())


@torch.inference_mode()
def test_the_noise_is_above_that_of_the_bundled_network() -> None:
    """Rounding moves the latents of a photo towards borders between entries by a third of it, as a mean of squares."""
    data = pytest.importorskip("skimage.data")
    codec = ProgicCodec.load()
    cells = data.astronaut()[None, :256, :256]
    y = latent(codec, cells)
    x = torch.from_numpy(cells).permute(0, 3, 1, 2).double() / 127.5 - 1
    moved = (y - codec.ties.encoder(x)).flatten(2)[0].T
    for book in codec.ties.books:
        across = torch.from_numpy(np.diff(book, axis=0))
        towards = moved @ (across / across.norm(dim=1, keepdim=True)).T
        assert 0 < float(towards.square().mean().sqrt()) < ties.NOISE / 3 * float(y.std())


@torch.inference_mode()
def test_one_position_is_encoded_as_in_the_whole_picture(micro_progic: ProgicCodec, picture: Picture) -> None:
    """In float64, at the corners and further in than the network sees."""
    side = 16 * (2 * micro_progic.ties.reach + 5)
    pixels = picture(side, side)
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].double() / 127.5 - 1
    whole = micro_progic.ties.encoder(x)[0].numpy()
    last = side // 16 - 1
    for row, column in ((0, 0), (0, last), (last, 3), (last // 2, last // 2)):
        found = micro_progic.ties.latent(pixels, row, column)
        np.testing.assert_allclose(found, whole[:, row, column], rtol=0, atol=1e-12)


def test_the_lead_is_that_over_the_second_best(micro_progic: ProgicCodec) -> None:
    quantizer = micro_progic.network.quantizer
    y = torch.randn(1, micro_progic.config.channels, 3, 4, generator=torch.Generator().manual_seed(0))
    found = quantizer(y, 1)
    distances = torch.cdist(y.flatten(2)[0].T.double(), quantizer.codebooks[0].double()).square() / 2
    nearest = distances.topk(2, largest=False)
    assert found.indices.flatten().tolist() == nearest.indices[:, 0].tolist()
    wanted = (nearest.values[:, 1] - nearest.values[:, 0]).reshape(1, 1, 3, 4)
    torch.testing.assert_close(found.leads.double(), wanted, rtol=0, atol=1e-4)
