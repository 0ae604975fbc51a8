"""The bundled lossless models: they are those of the registry, and photographs come back in fewer bytes than as PNG."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import arpc_codec
from arpc_codec.codecs.hpac import HpacCodec
from arpc_codec.container import read
from arpc_codec.imageio import ExactPicture
from arpc_codec.zoo.lossless import load_lossless
from arpc_codec.zoo.registry import find

REGISTRY = Path(__file__).parents[2] / "formats" / "models.toml"


@pytest.mark.parametrize("model", ["lossless", "lossless-large"])
def test_it_is_the_registered_model(model: str) -> None:
    entry = load_lossless(find(model).path, check=True).entry
    section = next(part for part in REGISTRY.read_text("utf-8").split("[[model]]") if f'name = "{model}"' in part)
    assert dict(re.findall(r'^(\w+) = "?([^"\n]*)"?$', section, re.MULTILINE)) == {
        "id": str(entry.id),
        "name": entry.name,
        "fingerprint": entry.fingerprint,
        "codec": entry.codec,
    }


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_photo_comes_back_smaller_than_png(mode: str) -> None:
    data = pytest.importorskip("skimage.data")
    picture = Image.fromarray(data.astronaut()[:64, 180:276]).convert(mode)
    png = io.BytesIO()
    picture.save(png, "PNG", optimize=True)
    file = arpc_codec.encode(picture, lossless=True)
    assert len(file) < 0.9 * len(png.getvalue())
    assert np.array_equal(np.asarray(arpc_codec.decode(file)), np.asarray(picture))


def test_a_file_names_the_larger_model_that_made_it() -> None:
    data = pytest.importorskip("skimage.data")
    picture = data.astronaut()[:64, 128:192]
    file = arpc_codec.encode(picture, lossless=True, model="lossless-large")
    assert arpc_codec.info(file).model_id == find("lossless-large").id
    assert np.array_equal(np.asarray(arpc_codec.decode(file)), picture)


def test_deep_noise_costs_about_its_entropy() -> None:
    """Logistic noise of 16 bits: its scale is far beyond anything that 8 bits have."""
    scale = 3000.0
    uniform = np.random.default_rng(0).uniform(1e-6, 1 - 1e-6, (64, 64, 1))
    samples = np.round(32768 + scale * np.log(uniform / (1 - uniform))).astype(np.uint16)
    codec = HpacCodec.load("lossless")
    file = codec.encode(ExactPicture(samples))
    entropy = np.log2(scale) + 2 / np.log(2)
    assert entropy < 8 * len(file) / samples.size < entropy + 0.6  # tables, and weights learnt in vain
    assert np.array_equal(codec.decode(read(file)).picture.samples, samples)
