"""The lossless trainer on made-up photographs: it learns, and what it writes becomes a model that codes."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from arpc_codec.codecs.lossless import decode, encode
from arpc_codec.errors import ModelError
from arpc_codec.prior.features import PixelConfig
from arpc_codec.train.pixel import PixelTraining, load_clean
from arpc_codec.train.runs import hpac
from arpc_codec.zoo.lossless import load_lossless

SMALL = PixelConfig(channels=1, width=16, depth=1, head=12, mixtures=2)


def logged(folder: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if name in line]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, picture: Callable[..., np.ndarray]) -> Path:
    folder = tmp_path_factory.mktemp("clean")
    with tarfile.open(folder / "train-clean.tar", "w") as archive:
        for name, seed in (("C00000", 1), ("C00001", 2), ("C00002", 3), ("V00000", 4)):
            buffer = io.BytesIO()
            Image.fromarray(picture(48, 48, seed)).save(buffer, "WEBP", lossless=True)
            member = tarfile.TarInfo(f"{name}.webp")
            member.size = buffer.tell()
            archive.addfile(member, io.BytesIO(buffer.getvalue()))
    return folder


def test_from_photos_to_payloads(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: Callable[..., np.ndarray]
) -> None:
    monkeypatch.setattr(hpac, "CONFIGS", {"grey": SMALL, "colour": replace(SMALL, channels=3)})
    monkeypatch.setattr(hpac, "PixelTraining", lambda: PixelTraining(crop=32, batch=2, lr=5e-3))
    weights = {}
    for group in ("grey", "colour"):
        hpac.run_hpac(group, data, tmp_path / group, 0.08)
        weights[group] = str(tmp_path / group / "ema.safetensors")
        bits = logged(tmp_path / group, "bits")
        assert bits[-1] < bits[0]
        assert logged(tmp_path / group, "val_bits")
    mark = hpac.run_export_hpac(weights, tmp_path / "model", 200, "micro", "x")
    model = load_lossless(tmp_path / "model", check=True)
    assert model.entry.fingerprint == mark
    samples = picture(40, 56, 9)
    payload = encode(samples, model.coders, 32)
    assert len(payload) < samples.nbytes
    found = decode(payload, samples.shape, np.uint8, model.coders, 32)
    assert found.sound
    assert np.array_equal(found.samples, samples)

    # What is not trained anew keeps its integers.
    parts = weights | {"grey": str(tmp_path / "model")}
    assert hpac.run_export_hpac(parts, tmp_path / "same", 201, "same", "x") == mark

    # A deeper network goes on from the integers of the model: what it adds does nothing yet.
    monkeypatch.setattr(hpac, "CONFIGS", {"grey": replace(SMALL, depth=3)})
    hpac.run_hpac("grey", data, tmp_path / "deeper", 1e-9, init=str(tmp_path / "model"))
    before, after = (logged(tmp_path / run, "val_bits")[-1] for run in ("grey", "deeper"))
    assert after == pytest.approx(before, abs=0.02)


def test_without_the_shard(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="train-clean"):
        load_clean(tmp_path)
