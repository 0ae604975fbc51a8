"""The bundled lossless model: it is the one of the registry, and photographs come back in fewer bytes than as PNG."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import arpc_codec
from arpc_codec.zoo.lossless import load_lossless
from arpc_codec.zoo.registry import find

REGISTRY = Path(__file__).parents[2] / "formats" / "models.toml"


def test_it_is_the_registered_model() -> None:
    entry = load_lossless(find("lossless").path, check=True).entry
    section = next(part for part in REGISTRY.read_text().split("[[model]]") if 'name = "lossless"' in part)
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
