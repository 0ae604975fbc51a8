"""The ProGIC trainer on made-up photographs; the loss networks, which live outside the project, are left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from arpc_codec.cli.main import main
from arpc_codec.codecs.progic import ProgicCodec
from arpc_codec.container import read
from arpc_codec.errors import ModelError
from arpc_codec.tokenizer import Tokenizer, TokenizerConfig
from arpc_codec.tokenizer.progic import Progic, ProgicConfig
from arpc_codec.tokenizer.residual_vq import TRAINING_BUFFERS
from arpc_codec.train import pictures
from arpc_codec.train.data import Photos, to_tensor
from arpc_codec.train.progic import ProgicTraining, reconstruct, start, take_weights, train_progic
from arpc_codec.train.runs import progic as runs
from arpc_codec.train.weights import load_progic_config
from arpc_codec.zoo.progic import load_progic

WIDTHS = {
    "encoder_widths": (8, 8),
    "encoder_depths": (1, 1),
    "decoder_widths": (8, 8, 8, 8),
    "decoder_depths": (1, 1, 1, 1),
}
CONFIG = ProgicConfig(stages=3, entries=16, **WIDTHS)
SETUP = ProgicTraining(crops=((96, 96, 2, 1.0),), lr=2e-3)

pytestmark = pytest.mark.usefixtures("pixel_loss")


@pytest.fixture(scope="module")
def photos(picture: Callable[..., np.ndarray]) -> tuple[Photos, Photos]:
    """Twelve small pictures to train on, one of 512x384 held out."""
    train = [picture(128, 160, seed) for seed in range(12)]
    return Photos([str(i) for i in range(12)], train), Photos(["held"], [picture(384, 512, 99)])


def started(photos: tuple[Photos, Photos], config: ProgicConfig = CONFIG) -> Progic:
    torch.manual_seed(0)
    model = Progic(config)
    start(model, photos[0], fresh=True, pictures=12, side=96)
    return model


def log(folder: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    return [line[name] for line in lines if name in line]


def test_linear_start_is_a_progressive_codec_already(photos: tuple[Photos, Photos]) -> None:
    model = started(photos)
    x = to_tensor([picture[:96, :96] for picture in photos[0].pictures[:4]])
    with torch.no_grad():
        errors = [float((x_hat - x).square().mean()) for x_hat in reconstruct(model, x).values()]
    assert errors[0] > errors[1] > errors[2]
    assert errors[-1] < 0.1 * float((x - x.mean()).square().mean())


@pytest.mark.parametrize("others", [1, 2])
def test_it_runs_resumes_and_reports(others: int, photos: tuple[Photos, Photos], tmp_path: Path) -> None:
    setup = ProgicTraining(crops=SETUP.crops, lr=SETUP.lr, others=others)
    train_progic(started(photos), photos, tmp_path, tmp_path / "run", 0.05, setup)
    first = json.loads((tmp_path / "run" / "state.json").read_text("utf-8"))
    # As after a kill: a network that was never started finds everything, codebooks too, in the run folder.
    state = train_progic(Progic(CONFIG), photos, tmp_path, tmp_path / "run", 0.1, setup)
    second = json.loads((tmp_path / "run" / "state.json").read_text("utf-8"))
    assert second["step"] > first["step"] > 0
    assert (tmp_path / "run" / "sheet.png").is_file()
    for stage in (1, 2, 3):
        assert 0 < log(tmp_path / "run", f"val_used_stage{stage}")[-1] <= 1
    psnr = [log(tmp_path / "run", f"val_psnr_stages{stages}")[-1] for stages in (1, 2, 3)]
    assert psnr[0] < psnr[-1]
    assert state["decoder.modulation.weight"].any()


def take_steps(
    monkeypatch: pytest.MonkeyPatch, ranges: list[range], optimise: Callable[..., torch.optim.Optimizer]
) -> list[float]:
    """Let each training run take the steps of the next range, whatever the time; returns where their losses go."""
    losses: list[float] = []

    def run(model: nn.Module, step: Callable[..., tuple[Tensor, object]], *_: object, **__: object) -> SimpleNamespace:
        optimiser = optimise(model.parameters())
        for index in ranges.pop(0):
            loss, _ = step(index, 0.0)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            losses.append(loss.item())
        return SimpleNamespace(state=model.state_dict())

    monkeypatch.setattr(pictures, "run", run)
    return losses


def test_it_learns(photos: tuple[Photos, Photos], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = take_steps(monkeypatch, [range(40)], partial(torch.optim.Adam, lr=2e-3))
    torch.manual_seed(0)
    model = Progic(CONFIG)
    start(model, photos[0], fresh=False, pictures=12, side=96)  # no linear start: there is much to learn
    train_progic(model, photos, tmp_path, tmp_path, 1, SETUP)
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_an_interrupted_run_takes_the_same_steps(
    photos: tuple[Photos, Photos], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Crops, prefixes and revived entries are functions of the step alone."""
    losses = take_steps(monkeypatch, [range(6), range(3), range(3, 6)], partial(torch.optim.SGD, lr=0.01))
    train_progic(started(photos), photos, tmp_path, tmp_path, 1, SETUP)
    state = train_progic(started(photos), photos, tmp_path, tmp_path, 1, SETUP)
    resumed = Progic(CONFIG)
    resumed.load_state_dict({name: value.clone() for name, value in state.items()})
    train_progic(resumed, photos, tmp_path, tmp_path, 1, SETUP)
    assert losses[:6] == losses[6:]


def test_start_from_an_arpc_tokenizer(photos: tuple[Photos, Photos]) -> None:
    """The networks are the same, and so is the picture of as many sums, whichever blocks the smaller one leaves out."""
    torch.manual_seed(0)
    tokenizer = Tokenizer(TokenizerConfig(**(WIDTHS | {"decoder_depths": (1, 2, 1, 2)})))
    for name, parameter in tokenizer.decoder.named_parameters():
        nn.init.normal_(parameter, std=0.1)
        if name.startswith(("stages.0.1.conv2", "stages.2.1.conv2")):
            nn.init.zeros_(parameter)
    rows = tokenizer.decoder.modulation.weight
    # What the second blocks at 1/16 and 1/4 say: they stand behind the first of 1/16 and that of 1/4.
    rows.data[:, 16:32] = rows.data[:, 64:80] = 0
    model = Progic(CONFIG)
    missing = take_weights(model, tokenizer.state_dict())
    assert all(name.startswith("quantizer.") for name in missing)
    assert torch.equal(model.encoder.stem.weight, tokenizer.encoder.stem.weight)
    z = torch.randn(1, CONFIG.channels, 3, 4)
    for stages, lacks in ((1, 6), (2, 5), (3, 4)):
        drawn = model.decoder(z, model.used(stages)), tokenizer.decoder(z, tokenizer.state(lacks, filled=False))
        assert torch.allclose(*drawn, atol=1e-5)
    start(model, photos[0], fresh=False, pictures=12, side=96)
    again = Progic(CONFIG)
    assert take_weights(again, model.state_dict()) == []
    # What a ProGIC network says of its stages is not what a tokenizer says of missing scales.
    fewer = Progic(replace(CONFIG, stages=CONFIG.stages - 1))
    assert "decoder.modulation.weight" in take_weights(fewer, model.state_dict())


def test_a_decoder_on_the_latents_of_a_tokenizer(
    photos: tuple[Photos, Photos], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`train progic-decoder` fits codebooks once; the encoder stays that of the tokenizer."""
    torch.manual_seed(0)
    (tmp_path / "config.json").write_text(json.dumps({"progic": asdict(CONFIG)}))
    monkeypatch.setattr(runs, "load_photos", lambda data: (photos[0], Photos([], [])))
    monkeypatch.setattr(runs, "LINEAR_SIDE", 96)
    monkeypatch.setattr(runs.PictureTraining, "crops", SETUP.crops)
    monkeypatch.setattr(runs, "start", partial(start, pictures=12))

    def trained(weights: dict[str, Tensor], minutes: float) -> Result:
        save_file(weights, tmp_path / "start.safetensors")
        words = ["--config", tmp_path / "config.json", "--progic", tmp_path / "start.safetensors", "--minutes", minutes]
        words += ["--data", tmp_path, "--metrics", tmp_path, "--out", tmp_path / "run"]
        return CliRunner().invoke(main, ["train", "progic-decoder", *map(str, words)])

    other = trained(Tokenizer(TokenizerConfig(**(WIDTHS | {"encoder_widths": (8, 16)}))).state_dict(), 0.02)
    assert other.exit_code == ModelError.exit_code
    assert "other sizes" in other.stderr
    weights = Tokenizer(TokenizerConfig(**WIDTHS)).state_dict()
    assert trained(weights, 0.02).exit_code == 0
    first = load_file(tmp_path / "run" / "weights.safetensors")
    monkeypatch.setattr(runs, "start", None)  # a run that goes on has them
    assert trained(weights, 0.04).exit_code == 0
    after = load_file(tmp_path / "run" / "weights.safetensors")
    assert torch.equal(first["quantizer.codebooks"], after["quantizer.codebooks"])
    assert all(torch.equal(after[name], weights[name]) for name in weights if name.startswith("encoder."))
    assert not torch.equal(after["decoder.out.weight"], weights["decoder.out.weight"])


def test_a_decoder_alone_leaves_files_as_they_are(
    photos: tuple[Photos, Photos], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, noise=2)
    (tmp_path / "config.json").write_text(json.dumps({"progic": asdict(config)}))
    before = started(photos, config).state_dict()
    save_file(before, tmp_path / "start.safetensors")
    monkeypatch.setattr(runs, "load_photos", lambda data: (photos[0], Photos([], [])))
    monkeypatch.setattr(runs.PictureTraining, "crops", SETUP.crops)
    words = ["--config", tmp_path / "config.json", "--progic", tmp_path / "start.safetensors", "--minutes", 0.03]
    words += ["--data", tmp_path, "--metrics", tmp_path, "--out", tmp_path / "run", "--adversary", 0.3]
    result = CliRunner().invoke(main, ["train", "progic-decoder", *map(str, words)])
    assert result.exit_code == 0, result.output
    after = load_file(tmp_path / "run" / "weights.safetensors")
    changed = {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"decoder"}


def test_codebooks_of_a_model_folder_go_on_from_where_they_are(photos: tuple[Photos, Photos]) -> None:
    """It has no moving means; those of a new network would draw every entry to noise."""
    trained, model = started(photos), Progic(CONFIG)
    kept = {name: value for name, value in trained.state_dict().items() if name.split(".")[-1] not in TRAINING_BUFFERS}
    assert take_weights(model, kept) == ["quantizer.uses"]
    y = model.encoder(to_tensor([picture[:96, :96] for picture in photos[0].pictures[:2]])).detach()
    before = model.quantizer(y)
    model.quantizer.update(y, before, torch.Generator().manual_seed(0))
    after = model.quantizer(y)
    errors = [(y - z).square().mean() for z in (before.prefixes[-1], after.prefixes[-1])]
    assert errors[1] < 1.1 * errors[0]


def test_trained_weights_become_a_model_folder(photos: tuple[Photos, Photos], tmp_path: Path) -> None:
    config, weights, folder = tmp_path / "config.json", tmp_path / "ema.safetensors", tmp_path / "model"
    config.write_text(json.dumps({"progic": asdict(CONFIG)}))
    model = started(photos)
    save_file(model.state_dict(), weights)
    words = ["--config", config, "--weights", weights, "--out", folder, "--id", 9, "--name", "n", "--licence", "own"]
    result = CliRunner().invoke(main, ["train", "export-progic", *map(str, words)])
    assert result.exit_code == 0, result.stderr
    loaded = load_progic(folder, check=True)
    assert (loaded.entry.id, loaded.entry.name, loaded.entry.codec, loaded.entry.licence) == (9, "n", "progic", "own")
    assert loaded.entry.fingerprint == result.stdout.strip()
    assert loaded.network.config == CONFIG
    codec, picture = ProgicCodec(loaded), photos[1].pictures[0][:100, :110]
    decoded = [step.pixels.astype(float) for step in codec.steps(read(codec.encode(picture).data))]
    errors = [np.square(pixels - picture).mean() for pixels in decoded]
    assert errors[0] > errors[1] > errors[2]


def test_configs_of_other_networks_are_refused() -> None:
    with pytest.raises(ModelError, match="progic-tiny"):
        load_progic_config("tiny")


def test_weights_and_sizes_that_no_prior_of_indices_can_have(tmp_path: Path) -> None:
    weights, config = tmp_path / "network.safetensors", tmp_path / "sizes.json"
    save_file(Progic(CONFIG).state_dict(), weights)
    for channels, entries, match in ((CONFIG.channels + 1, CONFIG.entries, "other sizes"), (4, 12, "power of two")):
        config.write_text(json.dumps({"progic": {**asdict(CONFIG), "channels": channels, "entries": entries}}))
        with pytest.raises(ModelError, match=match):
            runs.run_progic_prior(str(config), tmp_path, weights, tmp_path / "run", 0.01)
    assert not (tmp_path / "run").exists()


def test_an_adversary_can_be_asked_for(photos: tuple[Photos, Photos], tmp_path: Path) -> None:
    setup = ProgicTraining(crops=SETUP.crops, adversary=0.3, adversary_from=0.0)
    train_progic(started(photos), (photos[0], Photos([], [])), tmp_path, tmp_path / "run", 0.02, setup)
    assert log(tmp_path / "run", "tell")
    assert (tmp_path / "run" / "adversary.safetensors").is_file()
