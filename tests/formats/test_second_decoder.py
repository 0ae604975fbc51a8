"""A decoder written from the pages of formats/ alone finds the tokens that arpc_codec finds, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.codecs.coded import Checks
from arpc_codec.codecs.tokens import Walk, decode_scale
from arpc_codec.container import Container, read
from arpc_codec.exact.planes import exact_prior

if TYPE_CHECKING:
    from second_decoder import Model

Picture = Callable[..., np.ndarray]
Two = tuple[ArpcCodec, "Model"]


@pytest.fixture(params=["quiet", "loud"])
def two(
    request: pytest.FixtureRequest, micro_planes: ArpcCodec, micro_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Two:
    """The codec `micro_planes`, and its model as the second decoder reads it.

    loud: with weights of the context head times 4, so that n hangs on the last digits, and other chances.
    """
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from second_decoder import Model

    model = Model.read(micro_home / "micro-planes")
    if request.param == "quiet":
        return micro_planes, model
    for name in model.tensors:
        if name.startswith("context.") and name.endswith(".exponent"):
            model.tensors[name] -= 2
    chances = model.tensors["quantizer.chances"]
    chances[:] = np.random.default_rng(1).integers(1, 2048, chances.shape) / 2048
    state = {name: torch.tensor(tensor) for name, tensor in model.tensors.items()}
    tokenizer = deepcopy(micro_planes.tokenizer)
    tokenizer.quantizer.load_state_dict({"chances": state["quantizer.chances"]})
    prior = exact_prior(state, micro_planes.bundle.prior.config)
    return ArpcCodec(replace(micro_planes.bundle, tokenizer=tokenizer, prior=prior)), model


def scales_alike(two: Two, container: Container) -> int:
    """So many scales of a file, from the first on, have the same tokens, sum and check byte for both decoders."""
    from second_decoder import Damaged, Decoder

    (codec, model), header = two, container.header
    plan, fingerprint = codec.layout(header.height, header.width), codec.bundle.fingerprint
    walk = Walk(codec.priors.of(header, plan), codec.tokenizer.quantizer, plan.schedule, fingerprint)
    checks = Checks(fingerprint, plan.schedule)
    second = Decoder(model, header.height, header.width, header.portable)
    for scale, segment in enumerate(container.segments):
        phases = header.phases if header.phases and scale + 1 == header.scales else 4
        with torch.inference_mode():
            bits = decode_scale(walk, segment, phases)
        try:
            found = second.scale(segment, phases)
        except Damaged:
            return scale
        alike = np.array_equal(found, bits) and np.array_equal(second.z, walk.z[0].permute(1, 2, 0))
        if not alike or second.check != checks.take(scale, bits, phases):
            return scale
    return len(container.segments)


@pytest.mark.parametrize("portable", [False, True], ids=["prior", "portable"])
@pytest.mark.parametrize(("height", "width"), [(10, 16), (64, 60), (200, 240)])
def test_all_scales(two: Two, picture: Picture, height: int, width: int, portable: bool) -> None:
    encoded = two[0].encode(picture(height, width), portable=portable)
    assert scales_alike(two, read(encoded.data)) == encoded.total_scales


@pytest.mark.parametrize("portable", [False, True], ids=["prior", "portable"])
@pytest.mark.parametrize("scales", [5, 8])
def test_a_scale_of_which_a_part_was_sent(two: Two, picture: Picture, scales: int, portable: bool) -> None:
    pixels = picture(120, 152)
    data = two[0].encode(pixels, scales=scales, portable=portable).data
    target = len(data) - len(read(data).segments[-1]) // 2
    partly = read(two[0].encode(pixels, target_bytes=target, portable=portable).data)
    assert partly.header.phases
    assert scales_alike(two, partly) == partly.header.scales == scales


@pytest.mark.parametrize("two", ["loud"], indirect=True)
@pytest.mark.parametrize("layer", ["word", "blocks.0.fc1", "blocks.1.fc2", "context.feature"])
def test_integers_that_are_slightly_more_show(two: Two, picture: Picture, layer: str) -> None:
    encoded = two[0].encode(picture(200, 144))
    two[1].tensors[f"{layer}.weight"] += 16
    assert scales_alike(two, read(encoded.data)) < encoded.scales
