"""A file that arrives: a picture as soon as the first scale is whole, and a better one with every further scale."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import arpc_codec
from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.container import read, truncate
from arpc_codec.metrics.panel import METRICS, panel
from arpc_codec.scales import latent_size
from arpc_codec.zoo.registry import bundled
from dev.bench.samples import photo

SHARED = Path(__file__).resolve().parents[3] / "shared" / "metrics"
WEIGHTS = Path(os.environ.get("ARPC_METRICS", SHARED))
HEIGHT, WIDTH = 256, 384
MODELS = {"arpc": "tiny", "progic": "progic"}
# Scales of so many tokens, and all that follow, must each improve the picture. Before that it is a few colours, and
# LPIPS may prefer fewer: Alex with sign tokens .614, .629, .625, then .547 and falling, Squeeze with integers .451 for
# one colour and .455 for two, then .443 and falling.
TOKENS = {"lpips_squeeze": 6, "lpips_alex": 50}

Scores = dict[str, list[float]]


@pytest.fixture(scope="module", params=MODELS)
def streamed(request: pytest.FixtureRequest) -> tuple[list[int], Scores]:
    """Tokens of each scale, and what the picture after it scores; each is fed up to its last byte but one, then on."""
    pytest.importorskip("skimage")
    if not bundled(MODELS[request.param]).is_dir():
        pytest.skip("the weights of the bundled model are missing")
    missing = [reason for name in TOKENS if (reason := METRICS[name].missing(WEIGHTS))]
    if missing:
        pytest.skip(f"LPIPS cannot be measured: {'; '.join(missing)}")
    image = np.asarray(Image.fromarray(photo("coffee")).resize((WIDTH, HEIGHT)))
    data = arpc_codec.encode(image, codec=request.param)
    decoder, fed, scores = arpc_codec.Decoder(), 0, Scores()
    for scale in range(1, len(read(data).segments) + 1):
        end = len(truncate(data, scales=scale))
        assert decoder.feed(data[fed : end - 1]) is None
        picture = decoder.feed(data[end - 1 : end])
        assert picture is not None
        assert decoder.scales == scale
        for name, value in panel(image, np.asarray(picture), names=list(TOKENS), weights=WEIGHTS).items():
            assert value is not None
            scores.setdefault(name, []).append(value)
        fed = end
    assert fed == len(data)
    decoder.close()
    schedule = [latent_size(HEIGHT, WIDTH)] * decoder.scales
    if request.param == "arpc":
        schedule = list(ArpcCodec.load("tiny").tokenizer.schedule(*schedule[0]))
    return [rows * cols for rows, cols in schedule], scores


@pytest.mark.parametrize("name", TOKENS)
def test_every_scale_improves_the_picture(name: str, streamed: tuple[list[int], Scores]) -> None:
    tokens, scores = streamed
    assert len(tokens) == len(scores[name])
    first = next(scale for scale, count in enumerate(tokens) if count >= TOKENS[name])
    assert first < len(tokens) - 2
    for worse, better in pairwise(scores[name][max(0, first - 1) :]):
        assert better < worse, scores[name]
    assert scores[name][-1] == min(scores[name])
