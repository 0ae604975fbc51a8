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
BUNDLED = {"tiny", "progic", "lossless", "lossless-large"}


def files(*names: str) -> list[Any]:
    """Every golden file of these models: model, its expected.json, name of a file."""
    found = []
    for model in names:
        values = json.loads((VECTORS / model / "expected.json").read_text("utf-8"))
        for name in values["files"]:
            marks = [pytest.mark.thorough] if name == "large" else []
            found.append(pytest.param(model, values, name, id=f"{model}-{name}", marks=marks))
    return found


@pytest.fixture
def make_model_vectors(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "formats")
    import make_model_vectors

    return make_model_vectors


@pytest.mark.parametrize(("model", "values", "name"), files("tiny", "progic"))
def test_tokens_never_change(model: str, values: dict[str, Any], name: str, make_model_vectors: Any) -> None:
    codec_class, digest, key = {
        "tiny": (ArpcCodec, make_model_vectors.token_digest, "latent_sha256"),
        "progic": (ProgicCodec, make_model_vectors.index_digest, "indices_sha256"),
    }[model]
    path, wanted = VECTORS / model / f"{name}.arpc", values["files"][name]
    assert find(model).fingerprint == values["fingerprint"]
    codec = codec_class.load(model)
    decoded = codec.decode(read(path.read_bytes()))
    assert not decoded.damaged
    assert list(decoded.pixels.shape[:2]) == wanted["size"]
    assert digest(codec, path) == wanted[key]


@pytest.mark.parametrize(("model", "values", "name"), files("lossless", "lossless-large"))
def test_lossless_files_never_change(model: str, values: dict[str, Any], name: str, make_model_vectors: Any) -> None:
    path, wanted = VECTORS / model / f"{name}.arpc", values["files"][name]
    assert find(model).fingerprint == values["fingerprint"]
    codec = HpacCodec.load(model)
    data = path.read_bytes()
    found = codec.decode(read(data))
    assert not found.damage
    assert list(found.picture.samples.shape[:2]) == wanted["size"]
    assert make_model_vectors.sample_digest(codec, path) == wanted["samples_sha256"]
    samples = np.ascontiguousarray(make_model_vectors.exact_pictures()[name])
    assert np.array_equal(found.picture.samples, samples)
    plain = codec.encode(ExactPicture(samples))
    # What fits the prior to a picture is ordinary floats, and another machine may fit it in another way.
    assert len(data) < len(plain) if name in make_model_vectors.ADAPTED else data == plain


def test_registry_lists_every_bundled_model() -> None:
    text = (ROOT / "formats" / "models.toml").read_text("utf-8")
    listed = set(re.findall(r'^id = (\d+)\nname = "([^"]+)"\nfingerprint = "([0-9a-f]{64})"$', text, re.MULTILINE))
    bundled = {(str(m.id), m.name, m.fingerprint) for m in models() if "weights" in m.path.parts}
    assert {name for _, name, _ in bundled} == BUNDLED
    assert bundled <= listed


def test_bundled_weights_match_their_fingerprints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARPC_HOME", raising=False)
    assert {entry.name for entry in models()} == BUNDLED
    for entry in models():
        check(entry)
