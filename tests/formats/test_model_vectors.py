"""Files of the bundled models decode to the tokens they always decoded to."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from arpc_codec.zoo.registry import models

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = sorted((ROOT / "formats" / "vectors").glob("*/expected.json"))


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda path: path.parent.name)
def test_tokens_never_change(expected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from arpc_codec.codecs.arpc import ArpcCodec
    from arpc_codec.container import read

    monkeypatch.syspath_prepend(ROOT / "formats")
    from make_model_vectors import token_digest

    values = json.loads(expected.read_text())
    codec = ArpcCodec.load(values["model"])
    assert codec.bundle.entry.fingerprint == values["fingerprint"]
    for name, wanted in values["files"].items():
        path = expected.with_name(f"{name}.arpc")
        decoded = codec.decode(read(path.read_bytes()))
        assert not decoded.damaged
        assert list(decoded.pixels.shape[:2]) == wanted["size"]
        assert token_digest(codec, path) == wanted["latent_sha256"], name


def test_registry_lists_every_bundled_model() -> None:
    text = (ROOT / "formats" / "models.toml").read_text()
    listed = set(re.findall(r'^id = (\d+)\nname = "([^"]+)"\nfingerprint = "([0-9a-f]{64})"$', text, re.MULTILINE))
    bundled = {(str(m.id), m.name, m.fingerprint) for m in models() if "weights" in m.path.parts}
    assert bundled
    assert bundled <= listed


def test_bundled_weights_match_their_fingerprints() -> None:
    from arpc_codec.zoo.bundle import load_folder
    from arpc_codec.zoo.lossless import load_lossless

    loaders = {"arpc": load_folder, "hpac": load_lossless}
    for entry in models():
        assert loaders[entry.codec](entry.path, check=True).entry == entry
