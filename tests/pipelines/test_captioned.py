"""Captions that condition a float prior: what they change, what guidance does, and where they cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.codecs.filling import Filling
from arpc_codec.codecs.tokens import Walk
from arpc_codec.container import Codec, Container, Header, read
from arpc_codec.errors import FormatError, ModelError, UsageError
from arpc_codec.packets import join, sort_out, split
from arpc_codec.prior.coding import FloatPrior
from arpc_codec.prior.transformer import guide

Picture = Callable[..., np.ndarray]


def features(caption: str) -> Tensor:
    """A stand-in for a text encoder: one made-up feature vector for each letter."""
    return torch.randn(len(caption), 40, generator=torch.Generator().manual_seed(len(caption)))


def test_a_caption_conditions_where_there_is_a_text_encoder(headed: ArpcCodec, picture: Picture) -> None:
    pixels = picture(256, 256)
    steered = ArpcCodec(headed.bundle, text_encoder=features)
    plain, ignored = headed.encode(pixels), headed.encode(pixels, caption="cat")
    assert read(plain.data).segments == read(ignored.data).segments
    container = read(steered.encode(pixels, caption="cat", verify=True).data)
    assert container.header.conditioned
    assert container.segments != read(plain.data).segments
    assert torch.equal(
        steered.latent(container, 7, Filling("none")), headed.latent(read(plain.data), 7, Filling("none"))
    )
    with pytest.raises(ModelError, match="text encoder"):
        headed.decode(container)
    assert not steered.decode(read(ignored.data)).damaged


def test_guidance_is_for_what_is_filled(headed: ArpcCodec, picture: Picture) -> None:
    steered = ArpcCodec(headed.bundle, text_encoder=features)
    pixels = picture(256, 256)
    container = read(steered.encode(pixels, caption="cat", scales=3).data)
    shown = {g: steered.decode(container, filling=Filling("argmax", guidance=g)).pixels for g in (None, 0.0, 1.0, 3.0)}
    assert np.array_equal(shown[None], shown[3.0])
    assert len({pixels.tobytes() for pixels in shown.values()}) == 3
    assert np.array_equal(
        steered.decode(container, filling=Filling("mean")).pixels,
        steered.decode(container, filling=Filling("mean", guidance=1)).pixels,
    )
    portable = read(steered.encode(pixels, caption="cat", scales=3, portable=True).data)
    assert np.array_equal(steered.decode(portable, filling=Filling("argmax")).pixels, shown[3.0])
    *_, last = steered.steps(container, filling=Filling("argmax"))
    assert np.array_equal(last.pixels, shown[3.0])
    with pytest.raises(UsageError, match="caption"):
        headed.decode(read(headed.encode(pixels, scales=3).data), filling=Filling(guidance=2.0))


@pytest.mark.parametrize("caption", ["a", "words"])
def test_guidance_equals_a_run_of_both_halves(headed: ArpcCodec, caption: str) -> None:
    """Of a caption as long as the model takes, and of a shorter one.

    A second prior that joins late gives what two runs of the transformer give that were together from the start."""
    plan = headed.layout(256, 256)
    bare = ArpcCodec(replace(headed.bundle, context=None), text_encoder=features)
    prior = bare.priors.own(plan, caption)
    assert isinstance(prior, FloatPrior)
    walk = Walk(prior, bare.tokenizer.quantizer, plan.schedule)
    generator = torch.Generator().manual_seed(1)
    assert prior.text is not None
    texts = (prior.text, prior.trunk.text.unconditional(prior.text))
    states = [prior.trunk.start(plan.schedule, text=text, grid=plan.grid) for text in texts]
    with torch.inference_mode():
        for scale, (height, width) in enumerate(plan.schedule):
            if scale == 3:
                walk.guide(prior.unconditional(), 3.0)
            logits, _ = walk.predict()
            x = walk.inputs[scale]
            own, other = (prior.trunk.step(None if x is None else x.float()[None], state)[0] for state in states)
            pairs = guide(own, other, 3.0)[0].unflatten(-1, (-1, 2)).unflatten(0, (height, width))
            if scale >= 3:
                assert torch.allclose(logits, pairs[..., 1] - pairs[..., 0], atol=1e-3)
            walk.advance(walk.code(torch.rand(height, width, 12, generator=generator) < 0.5))


def test_guidance_of_a_file_is_by_as_many_tokens_as_its_caption_has(
    headed: ArpcCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    steered = ArpcCodec(headed.bundle, text_encoder=features)
    container = read(steered.encode(picture(64, 64), caption="cat", scales=3).data)
    guides = list[FloatPrior]()
    plain = Walk.guide
    monkeypatch.setattr(Walk, "guide", lambda walk, other, g: guides.append(other) or plain(walk, other, g))
    steered.decode(container, filling=Filling("argmax"))
    (other,) = guides
    assert other.text is not None
    assert torch.equal(other.text.features_btc, headed.bundle.prior.text.uncond[None, :3])


def test_a_walk_starts_its_prior_once(headed: ArpcCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    container = read(headed.encode(picture(64, 64), scales=3).data)
    begun = list[None]()
    begin = FloatPrior.begin
    monkeypatch.setattr(FloatPrior, "begin", lambda prior, schedule: begun.append(None) or begin(prior, schedule))
    assert len(list(headed.steps(container))) == 3
    assert len(begun) == 1


def test_autocast_does_not_reach_the_text_encoder(headed: ArpcCodec, picture: Picture) -> None:
    """One end with autocast, one without."""
    matrix = torch.randn(40, 40, generator=torch.Generator().manual_seed(9)) / 40**0.5

    def network(caption: str) -> Tensor:
        return features(caption) @ matrix

    steered = ArpcCodec(headed.bundle, text_encoder=network)
    data = steered.encode(picture(256, 256), caption="cat").data
    plan = steered.layout(256, 256)
    plain = steered.priors.own(plan, "cat")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = steered.priors.own(plan, "cat")
        assert not steered.decode(read(data)).damaged
    assert isinstance(plain, FloatPrior)
    assert isinstance(inside, FloatPrior)
    assert plain.text is not None
    assert inside.text is not None
    assert torch.equal(inside.text.features_btc, plain.text.features_btc)


def test_packets_of_a_conditioned_file_decode(headed: ArpcCodec, picture: Picture) -> None:
    steered = ArpcCodec(headed.bundle, text_encoder=features)
    data = steered.encode(picture(256, 256), caption="cat").data
    packets = split(data, 60)
    assert join(sort_out(packets)[0]).data == data
    part = join(sort_out(packets[:-1])[0]).data
    assert np.array_equal(
        steered.decode(read(part), filling=Filling("none")).pixels,
        steered.decode(read(data), scales=len(read(part).segments), filling=Filling("none")).pixels,
    )


@pytest.mark.parametrize("fill", ["mean", "argmax"])
def test_a_portable_file_does_not_need_its_caption(headed: ArpcCodec, picture: Picture, fill: str) -> None:
    """Where the text encoder cannot be used, and where the caption is too long for the model."""

    def missing(caption: str) -> Tensor:
        raise ModelError("no such folder")

    for encoder, caption in ((missing, "cat"), (features, "a caption")):
        broken = ArpcCodec(headed.bundle, text_encoder=encoder)
        container = read(broken.encode(picture(64, 64), caption=caption, portable=True, scales=3).data)
        assert np.array_equal(
            broken.decode(container, filling=Filling(fill)).pixels,
            headed.decode(container, filling=Filling(fill)).pixels,
        )
        with pytest.raises(ModelError):
            broken.decode(container, filling=Filling(fill, guidance=2.0))


def test_captions_that_the_model_cannot_take(headed: ArpcCodec, picture: Picture) -> None:
    steered = ArpcCodec(headed.bundle, text_encoder=features)
    with pytest.raises(ModelError, match="9 tokens: the model takes 5"):
        steered.encode(picture(64, 64), caption="a caption")
    container = read(steered.encode(picture(64, 64), caption="cat").data)
    long = replace(container, header=replace(container.header, caption="a caption"))
    with pytest.raises(ModelError, match="9 tokens"):
        steered.decode(long)


def test_a_model_without_text_has_no_conditioned_files(headed: ArpcCodec) -> None:
    config = replace(headed.bundle.prior.config, text_channels=0)
    wordless = ArpcCodec(replace(headed.bundle, prior=type(headed.bundle.prior)(config)), text_encoder=features)
    header = Header(Codec.ARPC, 502, 64, 64, 1, caption="cat", guarded=True, conditioned=True)
    with pytest.raises(FormatError, match="takes no text"):
        wordless.decode(Container(header, (b"",)))


@pytest.mark.parametrize("guidance", [-1.0, 100.5, float("inf"), float("nan")])
def test_guidance_has_limits(headed: ArpcCodec, picture: Picture, guidance: float) -> None:
    container = read(headed.encode(picture(32, 32), scales=1).data)
    with pytest.raises(UsageError, match="between 0 and 100"):
        headed.decode(container, filling=Filling(guidance=guidance))
