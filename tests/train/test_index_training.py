"""The trainer of the prior of indices on made-up photographs: it learns, resumes, and becomes part of a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from arpc_codec.cli.main import main
from arpc_codec.codecs.progic import ProgicCodec
from arpc_codec.container import read
from arpc_codec.tokenizer.progic import Progic, ProgicConfig
from arpc_codec.train import indices
from arpc_codec.train.data import Photos
from arpc_codec.train.indices import IndexTraining, train_indices
from arpc_codec.train.progic import start
from arpc_codec.train.runs import progic as runs
from arpc_codec.zoo.progic import load_progic

CONFIG = {
    "stages": 2,
    "entries": 16,
    "encoder_widths": [8, 8],
    "encoder_depths": [1, 1],
    "decoder_widths": [8, 8, 8, 8],
    "decoder_depths": [1, 1, 1, 1],
}
SETUP = IndexTraining(crops=((96, 96, 60), (64, 128, 30)), positions=144, held=10)


@pytest.fixture(scope="module")
def photos(picture: Callable[..., np.ndarray]) -> tuple[Photos, Photos]:
    """Eight small pictures to train on; two of them for validation, since others would have other colours."""
    train = [picture(128, 160, seed) for seed in range(8)]
    return Photos([str(i) for i in range(8)], train), Photos(["a", "b"], train[:2])


def network(photos: tuple[Photos, Photos], **changes: object) -> Progic:
    torch.manual_seed(0)
    model = Progic(ProgicConfig.from_json(CONFIG | changes))
    start(model, photos[0], fresh=True, pictures=8, side=96)
    return model


def log(folder: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    return [line[name] for line in lines if name in line]


def test_it_learns_and_resumes(photos: tuple[Photos, Photos], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_indices(network(photos), photos, tmp_path, 0.03, SETUP)
    first = json.loads((tmp_path / "state.json").read_text("utf-8"))["step"]
    monkeypatch.setattr(indices, "encoded", None)  # what was encoded is in the folder
    state = train_indices(network(photos), photos, tmp_path, 0.1, SETUP)
    assert json.loads((tmp_path / "state.json").read_text("utf-8"))["step"] > first > 0
    bits = log(tmp_path, "val_bits")
    assert bits[-1] < 0.9 * 4  # of four bits an index
    assert bits[-1] == pytest.approx(np.mean([log(tmp_path, f"val_bits_stage{n}")[-1] for n in (1, 2)]), rel=1e-3)
    assert torch.equal(state["codebooks"], state["codebooks"].half().float())


def test_other_codebooks_are_refused(photos: tuple[Photos, Photos], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="power of two"):
        train_indices(network(photos, entries=12), photos, tmp_path, 0.01, SETUP)


def test_from_weights_to_smaller_files(
    photos: tuple[Photos, Photos], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both commands; the codebooks of the model are in the order of its prior."""
    config, weights, run, folder = (tmp_path / name for name in ("sizes.json", "network.safetensors", "run", "model"))
    config.write_text(json.dumps({"progic": CONFIG}))
    model = network(photos)
    save_file(model.state_dict(), weights)
    monkeypatch.setattr(runs, "load_photos", lambda data: photos)
    monkeypatch.setattr(runs, "IndexTraining", lambda: SETUP)
    words = ["--config", config, "--progic", weights, "--data", tmp_path, "--out", run, "--minutes", 0.05]
    result = CliRunner().invoke(main, ["train", "progic-prior", *map(str, words)])
    assert result.exit_code == 0, result.stderr
    naming = ["--config", config, "--out", folder, "--id", 9, "--name", "n", "--licence", "own"]
    prior = ["--prior", run / "ema.safetensors"]
    result = CliRunner().invoke(main, ["train", "export-progic", "--weights", str(weights), *map(str, naming + prior)])
    assert result.exit_code == 0, result.stderr
    loaded = load_progic(folder, check=True)
    assert loaded.entry.fingerprint == result.stdout.strip()
    for found, own in zip(loaded.network.quantizer.codebooks, model.quantizer.codebooks, strict=True):
        assert sorted(found.tolist()) == sorted(own.half().float().tolist())
    codec, pixels = ProgicCodec(loaded), photos[1].pictures[0]
    data = codec.encode(pixels).data
    assert codec.indices(read(data))[1] == ()
    assert len(read(data).segments[0]) < 40 + 1  # packed: 80 indices of 4 bits

    # A model's prior goes with any decoder of its indices.
    save_file(model.state_dict() | {"decoder.out.bias": torch.ones(3)}, weights)
    words = [*naming, "--out", tmp_path / "again", "--weights", weights, "--prior", folder]
    result = CliRunner().invoke(main, ["train", "export-progic", *map(str, words)])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip() != loaded.entry.fingerprint
    again = ProgicCodec(load_progic(tmp_path / "again", check=True))
    # All but the check byte, into which the fingerprint goes.
    segments = [[segment[:-1] for segment in read(file).segments] for file in (again.encode(pixels).data, data)]
    assert segments[0] == segments[1]

    other = Progic(ProgicConfig.from_json(CONFIG))
    save_file(other.state_dict(), weights)
    words = [*naming, *prior, "--weights", weights, "--out", tmp_path / "none"]
    result = CliRunner().invoke(main, ["train", "export-progic", *map(str, words)])
    assert result.exit_code == 5
    assert "another network" in result.stderr
