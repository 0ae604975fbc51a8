"""Files of the bundled models decode to what they always decoded to."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.codecs.hpac import HpacCodec
from arpc_codec.codecs.progic import ProgicCodec
from arpc_codec.container import read
from arpc_codec.imageio import ExactPicture
from arpc_codec.zoo.checking import check
from arpc_codec.zoo.registry import find, models

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "formats" / "vectors"


def expected_of(model: str) -> tuple[Path, dict[str, Any]]:
    folder = VECTORS / model
    return folder, json.loads((folder / "expected.json").read_text())


@pytest.mark.parametrize(
    ("model", "codec_class", "digest", "key"),
    [
        ("tiny", ArpcCodec, "token_digest", "latent_sha256"),
        ("progic", ProgicCodec, "index_digest", "indices_sha256"),
    ],
)
def test_tokens_never_change(
    model: str, codec_class: type[Any], digest: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "formats")
    import make_model_vectors

    folder, values = expected_of(model)
    codec = codec_class.load(model)
    assert find(model).fingerprint == values["fingerprint"]
    for name, wanted in values["files"].items():
        path = folder / f"{name}.arpc"
        decoded = codec.decode(read(path.read_bytes()))
        assert not decoded.damaged
        assert list(decoded.pixels.shape[:2]) == wanted["size"]
        assert getattr(make_model_vectors, digest)(codec, path) == wanted[key], name


@pytest.mark.parametrize("model", ["lossless", "lossless-large"])
def test_lossless_files_never_change(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "formats")
    from make_model_vectors import exact_pictures, sample_digest

    folder, values = expected_of(model)
    codec = HpacCodec.load(model)
    assert codec.model.entry.fingerprint == values["fingerprint"]
    for name, wanted in values["files"].items():
        path = folder / f"{name}.arpc"
        data = path.read_bytes()
        found = codec.decode(read(data))
        assert not found.damage
        assert list(found.picture.samples.shape[:2]) == wanted["size"]
        assert sample_digest(codec, path) == wanted["samples_sha256"], name
        samples = np.ascontiguousarray(exact_pictures()[name])
        assert np.array_equal(found.picture.samples, samples)
        assert codec.encode(ExactPicture(samples)) == data, name


def test_registry_lists_every_bundled_model() -> None:
    text = (ROOT / "formats" / "models.toml").read_text()
    listed = set(re.findall(r'^id = (\d+)\nname = "([^"]+)"\nfingerprint = "([0-9a-f]{64})"$', text, re.MULTILINE))
    bundled = {(str(m.id), m.name, m.fingerprint) for m in models() if "weights" in m.path.parts}
    assert bundled
    assert bundled <= listed


def test_bundled_weights_match_their_fingerprints() -> None:
    for entry in models():
        check(entry)
