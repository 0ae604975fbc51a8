"""Trainers on made-up photographs: they run, log, resume, improve, and what they write becomes a model that codes."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import load_file, save_file

from arpc_codec.cli.main import main
from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.codecs.filling import Filling
from arpc_codec.container import read, truncate
from arpc_codec.errors import ModelError
from arpc_codec.exact.export import export_prior
from arpc_codec.exact.planes import exact_prior
from arpc_codec.prior.model import Prior
from arpc_codec.scales import halved_schedule
from arpc_codec.tokenizer import MultiScalePlanes, Tokenizer
from arpc_codec.train import loop
from arpc_codec.train.data import load_photos, random_crop, to_tensor
from arpc_codec.train.decoder import DecoderTraining, seen
from arpc_codec.train.loop import LoopConfig, run
from arpc_codec.train.prior import EVEN, Batch, PriorTraining, bit_losses, scale_weights, validate
from arpc_codec.train.runs import arpc as runs
from arpc_codec.train.tokenizer import TokenizerTraining, count_tokens, start
from arpc_codec.train.weights import load_config, load_prior, load_tokenizer
from dev.bench.rate import coded_scales, float_bits, rate_per_scale

SIZES: dict[str, Any] = {
    "encoder_widths": [8, 8],
    "encoder_depths": [1, 1],
    "decoder_widths": [8, 8, 8, 8],
    "decoder_depths": [1, 1, 1, 1],
}
PRIOR: dict[str, Any] = {
    "embed_dim": 32,
    "depth": 1,
    "num_heads": 2,
    "scale_embed": "index+end",
    "key_tokens": 40,
}
SIGNS = {
    "tokenizer": {"channels": 16, **SIZES},
    "prior": {"d": 16, **PRIOR},
    "context": {"width": 16, "hidden": 2},
}
PLANES = {
    "tokenizer": {
        "channels": 8,
        "noise": 2,
        "steps": [1.0, 1.6, 2.5, 4.0, 6.3, 2.4, 2.5],
        "active": [8, 8, 8, 5, 5, 5, 2],
        "resting": [5, 0, 0, 2, 0, 0, 0],
        "groups": [2, 5, 8],
        "trade": 0.13,
        **SIZES,
    },
    "prior": {"d": 40, "groups": [2, 5, 8], "levels": 6, "units": 3, "repeats": 4, **PRIOR},
    "context": {"width": 16, "hidden": 0},
}
SMALL = ((96, 96, 2, 1.0),)

pytestmark = pytest.mark.filterwarnings("ignore:.*photos 2 are left out")


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


def written(folder: Path, sizes: dict[str, Any]) -> str:
    path = folder / "config.json"
    path.write_text(json.dumps(sizes))
    return str(path)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of a few steps on pictures of 96x96."""
    monkeypatch.setattr(runs, "LINEAR_SIDE", 96)
    monkeypatch.setattr(runs, "TokenizerTraining", partial(TokenizerTraining, crops=SMALL))
    monkeypatch.setattr(runs, "PriorTraining", partial(PriorTraining, crops=SMALL))
    monkeypatch.setattr(runs, "DecoderTraining", partial(DecoderTraining, crops=SMALL))
    monkeypatch.setattr(runs, "start", partial(start, pictures=16, side=96))
    monkeypatch.setattr(runs, "count_tokens", partial(count_tokens, pictures=8, side=96))


def log(folder: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
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
        pool = train.holding(size)
        crop = random_crop(np.random.default_rng(1), pool, size)
        assert crop.shape == (*size, 3)
        assert np.array_equal(crop, random_crop(np.random.default_rng(1), pool, size))


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
    first = json.loads((tmp_path / "state.json").read_text("utf-8"))
    train(0.1)
    second = json.loads((tmp_path / "state.json").read_text("utf-8"))
    assert second["step"] > first["step"] > 0
    assert second["spent_seconds"] < 6.6
    assert log(tmp_path, "loss")[-1] < 0.3 * log(tmp_path, "loss")[0]
    assert not list(tmp_path.glob("*.tmp"))
    # What is flushed to zero while it trains is not flushed in the process that called it.
    assert (torch.full((1,), 1e-40) * 2).item() > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--lr", "nan"), "nan is no number"),
        (("--minutes", "inf"), "inf is no number"),
        (("--device", "cuda"), "no CUDA device"),
        (("--config", "progic-tiny"), "not for this network: it has no 'tokenizer'"),
        (("--init", __file__), "no weights"),
    ],
)
def test_options_are_checked_before_anything_is_read(
    options: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("arpc_codec.train.runs.arpc.load_photos", lambda data: pytest.fail("read"))
    words = ["train", "tokenizer", "--data", str(tmp_path), "-o", str(tmp_path / "run"), "--minutes", "1", *options]
    result = CliRunner().invoke(main, words)
    assert result.exit_code in (2, 5), result.stderr
    assert said in result.stderr


REFUSED = [("--id", "8"), *(("--name", name) for name in (" ", "19", "a\n", "a/b", "tiny"))]


@pytest.mark.parametrize(("option", "value"), REFUSED)
@pytest.mark.parametrize("command", ["export", "export-progic", "export-hpac", "export-finetuned"])
def test_ids_and_names_that_cannot_be_used_are_refused(command: str, option: str, value: str, tmp_path: Path) -> None:
    sources = {
        "export": {"--tokenizer": __file__, "--prior": __file__},
        "export-progic": {"--weights": __file__},
        "export-hpac": {"--grey": "lossless", "--colour": "lossless"},
        "export-finetuned": {"-m": "tiny", "--prior": __file__},
    }
    given = sources[command] | {"-o": str(tmp_path / "m"), "--licence": "test", "--id": "4000", "--name": "mine"}
    given |= {option: value}
    result = CliRunner().invoke(main, ["train", command, *(word for pair in given.items() for word in pair)])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert not (tmp_path / "m").exists()


def test_unknown_config_names_the_known_ones() -> None:
    with pytest.raises(ModelError, match="tiny"):
        load_config("no-such-config")


@pytest.mark.parametrize("name", ["tiny", "base"])
def test_bundled_configs_load(name: str) -> None:
    sizes = load_config(name)
    with torch.device("meta"):
        Tokenizer(sizes.tokenizer)
        Prior(sizes.prior, sizes.context_width, sizes.context_hidden)


@pytest.mark.parametrize("halved", [False, pytest.param(True, marks=pytest.mark.thorough)])
@pytest.mark.usefixtures("small", "pixel_loss")
def test_from_photos_to_files(
    halved: bool, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: Callable[..., np.ndarray]
) -> None:
    """Tokenizer, prior, decoder, export: then a picture goes through the trained model and comes back."""
    monkeypatch.setattr(loop, "bfloat16_pays", lambda device_type: halved)
    config = written(tmp_path, PLANES)
    runs.run_tokenizer(config, data, tmp_path / "tokenizer", 0.02)
    weights = tmp_path / "tokenizer" / runs.TRAINED
    before = load_file(weights)
    assert not any(name.startswith("light.") for name in before)
    assert not (before["quantizer.chances"] == 0.5).all()
    # Weights of such a run serve as a start, at another number of crops.
    checkpoint = tmp_path / "tokenizer" / "weights.safetensors"
    runs.run_tokenizer(config, data, tmp_path / "more", 0.003, checkpoint, batch=2)

    runs.run_prior(config, data, weights, tmp_path / "prior", 0.12)
    prior, judges = tmp_path / "prior" / "ema.safetensors", tmp_path / "decoder" / "adversary.safetensors"
    sizes, crops = load_config(str(config)), to_tensor([picture(96, 96, seed) for seed in range(4)])
    tokenizer, fresh = load_tokenizer(sizes, weights), Prior(sizes.prior, sizes.context_width)
    ratios = [
        validate(one, tokenizer, iter([("held", Batch.plain(crops, tokenizer))]))["held_ratio"]
        for one in (load_prior(sizes, prior), fresh)
    ]
    assert ratios[0] < 0.97 * ratios[1]
    runs.run_decoder(config, data, tmp_path, weights, prior, tmp_path / "decoder", 0.03, adversary=0.3)
    after = load_file(tmp_path / "decoder" / "ema.safetensors")
    changed = {k for k in after if not torch.equal(before[k], after[k])}
    assert changed
    assert all(k.startswith("decoder.") and k != "decoder.spread" for k in changed)
    assert log(tmp_path / "decoder", "filled_error")
    again = tmp_path / "again"
    runs.run_decoder(config, data, tmp_path, weights, prior, again, 0.005, adversary=0.3, discriminators=judges)
    assert load_file(again / "adversary.safetensors")["steps"] >= load_file(judges)["steps"]

    home = tmp_path / "home"
    monkeypatch.setenv("ARPC_HOME", str(home))
    trained = tmp_path / "decoder" / "ema.safetensors"
    mark = runs.run_export(config, trained, str(prior), home / "m", 101, "m", "x")
    # The prior that a model has goes with any decoder of its tokens, and with no other tokens.
    assert runs.run_export(config, trained, "m", tmp_path / "same", 102, "same", "x") == mark
    assert runs.run_export(config, weights, "m", tmp_path / "other", 103, "other", "x") != mark
    for name in ("encoder.linear.weight", "quantizer.chances"):
        save_file(before | {name: before[name] * 0.5}, tmp_path / "changed.safetensors")
        with pytest.raises(ModelError, match="other tokens"):
            runs.run_export(config, tmp_path / "changed.safetensors", "m", tmp_path / "none", 104, "none", "x")
    codec = ArpcCodec.load("m")
    pixels = picture(96, 128)
    data_of = {portable: codec.encode(pixels, portable=portable, verify=True).data for portable in (False, True)}
    for coded in data_of.values():
        decoded = codec.decode(read(coded))
        assert decoded.pixels.shape == pixels.shape
        assert not decoded.damaged
        assert np.square(decoded.pixels.astype(float) - pixels).mean() < 0.5 * pixels.astype(float).var()
    coded_as = coded_scales(codec, pixels)
    ideal = rate_per_scale(codec, pixels, coded_as)[:, 1].sum()
    floating = float_bits(codec, load_prior(load_config(config), prior), pixels, coded_as)
    assert 0.99 < ideal / floating < 1.01


@pytest.mark.usefixtures("small")
def test_a_decoder_is_judged_by_perceptual_networks(metrics_dir: Path, data: Path, tmp_path: Path) -> None:
    config, sizes = written(tmp_path, PLANES), load_config(written(tmp_path, PLANES))
    torch.manual_seed(0)
    files = {"tokenizer": Tokenizer(sizes.tokenizer), "prior": Prior(sizes.prior, sizes.context_width)}
    for name, network in files.items():
        save_file(network.state_dict(), tmp_path / f"{name}.safetensors")
    paths = (tmp_path / f"{name}.safetensors" for name in files)
    runs.run_decoder(config, data, metrics_dir, *paths, tmp_path / "decoder", 0.008)
    (last,) = (json.loads(line) for line in (tmp_path / "decoder" / "log.jsonl").read_text("utf-8").splitlines()[1:2])
    assert any(name.removeprefix("filled_") in ("alex", "squeeze", "vgg") for name in last)


@pytest.mark.usefixtures("small")
def test_a_prior_of_signs_learns(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture) -> None:
    """Tokenizers of signs are no longer trained, but those that there are get priors."""
    config, sizes = written(tmp_path, SIGNS), load_config(written(tmp_path, SIGNS))
    torch.manual_seed(0)
    tokenizer = Tokenizer(sizes.tokenizer)
    with torch.no_grad():
        tokenizer.encoder.linear.weight.mul_(4)
    weights = tmp_path / "tokenizer.safetensors"
    save_file(tokenizer.state_dict(), weights)
    with pytest.raises(ModelError, match="has no steps"):
        runs.run_tokenizer(config, data, tmp_path / "none", 0.01)
    runs.run_prior(config, data, weights, tmp_path / "prior", 0.12)
    for name in ("bits_96x96", "bits_96x96_trunk"):
        bits = log(tmp_path / "prior", name)
        assert bits[-1] < bits[0]
    monkeypatch.setenv("ARPC_HOME", str(tmp_path / "home"))
    runs.run_export(
        config, weights, str(tmp_path / "prior" / "ema.safetensors"), tmp_path / "home" / "m", 101, "m", "x"
    )
    codec = ArpcCodec.load("m")
    assert not codec.decode(read(codec.encode(picture(96, 128)).data)).damaged


def test_training_fills_what_is_missing_as_a_decoder_does(
    micro_planes: ArpcCodec, picture: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, sizes = micro_planes.tokenizer, micro_planes.bundle.prior.config
    monkeypatch.setattr(tokenizer, "config", replace(tokenizer.config, trade=0.0))
    torch.manual_seed(0)
    prior = Prior(sizes, 16).requires_grad_(False)
    for parameter in prior.parameters():
        if parameter.ndim and not parameter.any():
            torch.nn.init.normal_(parameter, 0, 0.1)
    codec = ArpcCodec(replace(micro_planes.bundle, prior=exact_prior(export_prior(prior), sizes)))
    pixels = picture(96, 128)
    data, x = codec.encode(pixels).data, to_tensor([pixels])
    total = len(tokenizer.schedule(6, 8))
    whole, guessed = seen(tokenizer, prior, x, [0]), tokenizer.quantizer.guessed(tokenizer.schedule(6, 8))
    assert guessed == total - tokenizer.config.repeats + 1
    for missing in range(1, total):
        filled = codec.latent(read(truncate(data, scales=total - missing)), total - missing, Filling("mean"))
        found, plain = (seen(tokenizer, network, x, [missing]) for network in (prior, None))
        torch.testing.assert_close(found, filled, atol=0.02, rtol=0)
        # Of refinements nothing is expected.
        assert torch.equal(found, plain) == (missing <= total - guessed)
    assert torch.equal(whole, seen(tokenizer, None, x, [0]))
    # Pictures of a batch are filled each by itself.
    pair = torch.cat([to_tensor([picture(96, 128, 1)]), x])
    torch.testing.assert_close(
        seen(tokenizer, prior, pair, [6, 6])[1:], seen(tokenizer, prior, x, [6]), atol=1e-4, rtol=0
    )


def test_scales_of_integers_weigh_by_their_steps() -> None:
    quantizer = MultiScalePlanes((1.0, 2.0, 4.0, 1.0, 1.0), (8,) * 5, (2, 8))
    schedule = ((2, 2), (2, 2), (4, 4), (4, 4), (4, 4))
    weights = scale_weights(quantizer, schedule, torch.device("cpu"))
    assert torch.allclose(weights[:2], weights[0].expand(2))
    assert weights[-1].item() == pytest.approx(8)
    assert (weights[-2] / weights[-1]).item() == pytest.approx(2**EVEN)
    assert (weights[-3] / weights[-1]).item() == pytest.approx(4**EVEN)
    assert (weights[0] / weights[-1]).item() == pytest.approx(0.5)


def test_only_bits_that_are_asked_are_part_of_the_loss() -> None:
    quantizer = MultiScalePlanes((1.0,) * 5, (4, 4, 4, 4, 2), (2, 4), (0, 2, 0, 0, 0))
    schedule = halved_schedule(1, 1, 5)
    bits = quantizer.planes.of(torch.tensor([[[[0, 1, -2, 0]]]]))
    # Of each group whether its channels are 0; a sign and `more than 1` of those that are not; `more than 2` of -2.
    asked = torch.tensor([1, 1, 0, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1, 0, 1, 0, 1, 0, 0, 0]).bool()
    coded = {0: slice(0, 10), 3: slice(10, 20), 4: slice(0, 20)}
    for scale, places in coded.items():
        loss = bit_losses(torch.zeros(1, 1, 1, 20), bits, quantizer, scale, schedule)
        assert loss.item() == pytest.approx(asked[places].float().mean().item() * np.log(2))
        wild = torch.full((20,), 9.0)
        wild[places] = torch.where(asked[places], 0.0, 9.0)
        assert bit_losses(wild.view(1, 1, 1, 20), bits, quantizer, scale, schedule) == loss
