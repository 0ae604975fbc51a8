"""Trainers on made-up photographs: they run, log, resume, improve, and what they write becomes a model that codes."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.container import read
from arpc_codec.errors import ModelError, UsageError
from arpc_codec.prior.model import Prior
from arpc_codec.tokenizer import Tokenizer
from arpc_codec.tokenizer.progic import Progic, ProgicConfig
from arpc_codec.train.data import load_photos, random_crop
from arpc_codec.train.decoder import DecoderTraining
from arpc_codec.train.linear import init_linear
from arpc_codec.train.loop import LoopConfig, run
from arpc_codec.train.prior import PriorTraining
from arpc_codec.train.runs import arpc as runs
from arpc_codec.train.tokenizer import TokenizerTraining
from arpc_codec.train.weights import load_config

CONFIG = {
    "tokenizer": {
        "channels": 16,
        "encoder_widths": [8, 8],
        "encoder_depths": [1, 1],
        "decoder_widths": [8, 8, 8, 8],
        "decoder_depths": [1, 1, 1, 1],
    },
    "prior": {"d": 16, "embed_dim": 32, "depth": 1, "num_heads": 2, "scale_embed": "index+end", "key_tokens": 40},
    "context": {"width": 16, "hidden": 2},
}
TREES = {
    "tokenizer": CONFIG["tokenizer"] | {"codebooks": [4, 4, 4, 4, 3], "trade": 0.1},
    "prior": CONFIG["prior"] | {"d": 4, "codes": 16, "levels": [4, 4, 4, 4, 3], "rank": 8, "repeats": 4},
    "context": CONFIG["context"],
}
SMALL = ((96, 96, 2, 1.0),)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, picture: Callable[..., np.ndarray]) -> Path:
    """One shard of 40 pictures of 128x160 and its index; two come from a non-commercial source."""
    folder = tmp_path_factory.mktemp("data")
    rows = []
    with tarfile.open(folder / "shard.tar", "w") as archive:
        for i in range(40):
            buffer = io.BytesIO()
            Image.fromarray(picture(128, 160, i)).save(buffer, "WEBP", quality=90)
            member = tarfile.TarInfo(f"{i:06}.webp")
            member.size = buffer.tell()
            archive.addfile(member, io.BytesIO(buffer.getvalue()))
            source = "BIDS/BSDS500" if i in (3, 4) else "somebody/photos"
            rows.append({"key": f"{i:06}", "shard": "shard.tar", "source_repo": source, "tier": "std"})
    with (folder / "index.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("config") / "micro.json"
    path.write_text(json.dumps(CONFIG))
    return str(path)


def log(folder: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if name in line]


def test_pictures_are_split_and_terms_respected(data: Path) -> None:
    train, held = load_photos(data)
    assert len(train) + len(held) == 38
    assert not {"000003", "000004"} & set(train.keys + held.keys)
    assert not set(train.keys) & set(held.keys)
    assert load_photos(data)[1].keys == held.keys
    with pytest.raises(ModelError, match="index"):
        load_photos(data / "nowhere")


def test_crops_fit_and_repeat(data: Path) -> None:
    train, _ = load_photos(data)
    for size in ((64, 64), (128, 160), (160, 128), (96, 32)):
        crop = random_crop(np.random.default_rng(1), train, size)
        assert crop.shape == (*size, 3)
        assert np.array_equal(crop, random_crop(np.random.default_rng(1), train, size))
    with pytest.raises(ValueError, match="crop"):
        random_crop(np.random.default_rng(1), train, (500, 500))


def test_linear_start_is_a_codec_already(data: Path, config: str) -> None:
    from arpc_codec.train.data import to_tensor
    from arpc_codec.train.tokenizer import decoded, quantised

    model = Tokenizer(load_config(config).tokenizer)
    train, _ = load_photos(data)
    init_linear(model, train, pictures=24, side=96, gain_steps=10)
    x = to_tensor([picture[:96, :96] for picture in train.pictures[:4]])
    with torch.no_grad():
        x_hat = decoded(model, quantised(model, x), 0)
    assert float((x_hat - x).square().mean()) < 0.2 * float((x - x.mean()).square().mean())


def test_loop_resumes_and_ends_with_its_budget(tmp_path: Path) -> None:
    torch.manual_seed(0)
    target = torch.randn(8, 8)

    def train(minutes: float) -> torch.nn.Module:
        model = torch.nn.Linear(8, 8)

        def step(index: int, progress: float):
            x = torch.randn(16, 8, generator=torch.Generator().manual_seed(index))
            return (model(x) - x @ target).square().mean(), {}

        run(model, step, tmp_path, LoopConfig(minutes=minutes, lr=0.05, warmup_steps=5))
        return model

    train(0.05)
    first = json.loads((tmp_path / "state.json").read_text())
    train(0.1)
    second = json.loads((tmp_path / "state.json").read_text())
    assert second["step"] > first["step"] > 0
    assert second["spent_seconds"] < 6.6
    assert log(tmp_path, "loss")[-1] < 0.3 * log(tmp_path, "loss")[0]
    assert not list(tmp_path.glob("*.tmp"))


def test_unknown_config_names_the_known_ones() -> None:
    with pytest.raises(ModelError, match="tiny"):
        load_config("no-such-config")


@pytest.mark.parametrize("name", ["tiny", "base"])
def test_bundled_configs_load(name: str) -> None:
    sizes = load_config(name)
    with torch.device("meta"):
        Tokenizer(sizes.tokenizer)
        Prior(sizes.prior, sizes.context_width, sizes.context_hidden)


@pytest.mark.parametrize("sizes", [CONFIG, TREES], ids=["signs", "trees"])
def test_from_photos_to_files(
    shared_dir: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture, sizes: dict[str, Any]
) -> None:
    """Tokenizer, prior, decoder, export: then a picture goes through the trained model and comes back."""
    config, start = str(tmp_path / "config.json"), None
    Path(config).write_text(json.dumps(sizes))
    if "codebooks" in sizes["tokenizer"]:
        start = tmp_path / "progic.safetensors"
        widths = {key: value for key, value in CONFIG["tokenizer"].items() if key != "channels"}
        save_file(Progic(ProgicConfig.from_json(widths)).state_dict(), start)
        with pytest.raises(ModelError, match="--init"):
            runs.run_tokenizer(config, data, tmp_path, tmp_path / "none", 0.05)
    metrics = shared_dir / "metrics"
    monkeypatch.setattr(
        runs, "TokenizerTraining", lambda: TokenizerTraining(crops=((96, 96, 4, 1.0),), codebook_crops=(96, 20))
    )
    monkeypatch.setattr(runs, "PriorTraining", partial(PriorTraining, crops=SMALL))
    monkeypatch.setattr(runs, "DecoderTraining", partial(DecoderTraining, crops=SMALL))
    init = {"pictures": 16, "side": 96, "gain_steps": 5}
    monkeypatch.setattr(runs, "LINEAR_SIDE", 96)
    monkeypatch.setattr(runs, "init_linear", lambda model, photos: init_linear(model, photos, **init))
    runs.run_tokenizer(config, data, metrics, tmp_path / "tokenizer", 0.05, start)
    weights = tmp_path / "tokenizer" / "ema.safetensors"
    runs.run_prior(config, data, weights, tmp_path / "prior", 0.05)
    bits = log(tmp_path / "prior", "bits_96x96")
    assert bits[-1] < bits[0]
    before = load_file(weights)
    prior, judges = tmp_path / "prior" / "ema.safetensors", tmp_path / "decoder" / "adversary.safetensors"
    runs.run_decoder(config, data, metrics, weights, prior, tmp_path / "decoder", 0.05, adversary=0.3)
    after = load_file(tmp_path / "decoder" / "ema.safetensors")
    changed = {k for k in after if not torch.equal(before[k], after[k])}
    assert changed
    assert all(k.startswith("decoder.") for k in changed)
    again = tmp_path / "again"
    runs.run_decoder(config, data, metrics, weights, prior, again, 0.02, adversary=0.3, discriminators=judges)
    assert load_file(again / "adversary.safetensors")["steps"] >= load_file(judges)["steps"]
    with pytest.raises(UsageError, match="adversary"):
        runs.run_decoder(config, data, metrics, weights, prior, tmp_path / "none", 0.02, discriminators=judges)
    home = tmp_path / "home"
    monkeypatch.setenv("ARPC_HOME", str(home))
    trained = tmp_path / "decoder" / "ema.safetensors"
    mark = runs.run_export(config, trained, str(prior), home / "m", 101, "m", "x")
    # The prior that a model has goes with any decoder of its tokens, and with no other tokens.
    assert runs.run_export(config, trained, "m", tmp_path / "same", 102, "same", "x") == mark
    assert runs.run_export(config, weights, "m", tmp_path / "other", 103, "other", "x") != mark
    state = load_file(weights)
    name = next(name for name in state if name.startswith("encoder."))
    save_file(state | {name: state[name] + 1}, tmp_path / "changed.safetensors")
    with pytest.raises(ModelError, match="other tokens"):
        runs.run_export(config, tmp_path / "changed.safetensors", "m", tmp_path / "none", 104, "none", "x")
    codec = ArpcCodec.load("m")
    pixels = picture(96, 128)
    decoded = codec.decode(read(codec.encode(pixels).data))
    assert decoded.pixels.shape == pixels.shape
    assert not decoded.damaged
