"""The imported tokenizer against vectors computed by the public Infinity model definition (KEYS.md)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from arpc_codec.scales import Schedule
from arpc_codec.tokenizer import Tokenizer
from arpc_codec.zoo.bundle import Bundle

pytestmark = pytest.mark.usefixtures("no_gradients")

GROUPS = ("sq256", "r150", "sq512", "r125h")
PICTURES = ("sq256", "r150", "sq512")


@pytest.fixture(scope="module")
def vectors(shared_dir: Path) -> dict[str, Tensor]:
    return load_file(shared_dir / "reference" / "infinity-tiny" / "vectors.safetensors")


@pytest.fixture(scope="module")
def schedules(shared_dir: Path) -> dict[str, Schedule]:
    groups = json.loads((shared_dir / "reference" / "infinity-tiny" / "config.json").read_text("utf-8"))["groups"]
    return {name: tuple((h, w) for _, h, w in group["scale_schedule"]) for name, group in groups.items()}


@pytest.fixture
def tokenizer(infinity_tiny: Bundle) -> Tokenizer:
    return infinity_tiny.tokenizer


def error(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return (found - expected).abs().max().item()


def pixels(image_u8: Tensor) -> Tensor:
    return image_u8[None].float() / 127.5 - 1


@pytest.mark.parametrize("group", PICTURES)
def test_latents(tokenizer: Tokenizer, vectors: dict[str, Tensor], group: str) -> None:
    assert error(tokenizer.encoder(pixels(vectors[f"{group}.image_u8"])), vectors[f"{group}.h"]) < 1e-4


@pytest.mark.parametrize("group", GROUPS)
def test_bits_sums_and_inputs(
    tokenizer: Tokenizer, vectors: dict[str, Tensor], schedules: dict[str, Schedule], group: str
) -> None:
    schedule = schedules[group]
    bits, prefixes = tokenizer.quantizer(vectors[f"{group}.h"], schedule)
    for index, found in enumerate(bits):
        assert torch.equal(found, vectors[f"{group}.bits.{index:02}"].bool()), index
    assert torch.equal(torch.cat([b.flatten(1, 2) for b in bits], 1), vectors[f"{group}.bits_flat"].bool())
    for name in ("z_encode", "z_from_bits"):
        assert error(prefixes[-1], vectors[f"{group}.{name}"]) < 2e-6
    inputs = [
        tokenizer.quantizer.resample(z, size).flatten(2).transpose(1, 2)
        for z, size in zip(prefixes[:-1], schedule[1:], strict=True)
    ]
    assert error(torch.cat(inputs, 1), vectors[f"{group}.x_in"]) < 2e-6


@pytest.mark.parametrize("group", ["sq256", "r150"])
def test_bits_of_pictures(
    tokenizer: Tokenizer, vectors: dict[str, Tensor], schedules: dict[str, Schedule], group: str
) -> None:
    h = tokenizer.encoder(pixels(vectors[f"{group}.image_u8"]))
    bits = tokenizer.quantizer(h, schedules[group]).bits
    assert torch.equal(torch.cat([b.flatten(1, 2) for b in bits], 1), vectors[f"{group}.bits_flat"].bool())


@pytest.mark.parametrize("group", PICTURES)
def test_pictures(tokenizer: Tokenizer, vectors: dict[str, Tensor], group: str) -> None:
    image = tokenizer.decoder(vectors[f"{group}.z_encode"], tokenizer.state(0, False)).clamp(-1, 1)
    if group == "sq512":
        assert error(image[..., 192:320, 192:320], vectors["sq512.image_full_bits_crop"]) < 1e-3
        return
    assert error(image, vectors[f"{group}.image_full_bits"]) < 1e-3
    if group == "sq256":
        levels = ((image[0] + 1) / 2 * 255).to(torch.uint8)  # the published generator truncates
        difference = levels.int() - vectors["sq256.image_full_bits_u8_rgb"].int()
        assert difference.abs().max() <= 1


def test_middle_of_the_encoder(tokenizer: Tokenizer, vectors: dict[str, Tensor]) -> None:
    found: list[Tensor] = []
    hook = tokenizer.encoder.mid.register_forward_hook(lambda _module, inputs, output: found.extend((*inputs, output)))
    tokenizer.encoder(pixels(vectors["sq256.image_u8"]))
    hook.remove()
    for tensor, name in zip(found, ("enc_mid_in", "enc_mid_out"), strict=True):
        assert error(tensor, vectors[f"sq256.{name}"]) < 1e-4
