"""Fine-tuning of an imported model: captions, the loss, resuming, other bits a token, and the model that comes out."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import load_file
from torch import Tensor

from arpc_codec.cli.main import main
from arpc_codec.errors import ModelError, NoteWarning
from arpc_codec.prior.attention import Text
from arpc_codec.prior.config import PriorConfig
from arpc_codec.prior.transformer import VAR
from arpc_codec.scales import scale_schedule
from arpc_codec.tokenizer import MultiScaleBSQ
from arpc_codec.train.captions import CaptionSampler, load_records
from arpc_codec.train.finetune import BIT_LAYERS, export_finetuned, finetune, float_parts, with_bits
from arpc_codec.train.prior import FINETUNING, Batch, scale_losses, scale_weights, tokenize, train_prior
from arpc_codec.zoo.bundle import load_bundle, load_folder
from arpc_codec.zoo.derived import save_derived
from arpc_codec.zoo.infinity import rounded
from arpc_codec.zoo.registry import ModelEntry, read_entry

Encode = Callable[[str], Tensor]
Imported = Callable[..., ModelEntry]
FAST = replace(FINETUNING, lr=3e-3)


def log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in log(folder) if "loss" in line]


def teacher_forced(trunk: VAR, batch: Batch, inputs: list[Tensor]) -> Tensor:
    with torch.no_grad():
        return torch.cat(trunk(inputs, batch.schedule, batch.text, batch.grid), 1)


def test_a_model_of_its_own_comes_out(
    imported: Imported, captions: Callable[..., Path], encode: Encode, tmp_path: Path
) -> None:
    base, data, run = imported("m"), captions(5), tmp_path / "run"
    finetune(base, data, run, 0.04, encode, batch=2, setup=FAST)
    assert losses(run)[-1] < 0.9 * losses(run)[0]
    assert 0 < log(run)[-1]["val_64x64_ratio"] < 1
    entry = export_finetuned(base, run / "ema.safetensors", base.path.parent / "tuned")
    assert (entry.name, entry.licence) == ("tuned", "own")
    assert entry.id != base.id
    assert entry.fingerprint != base.fingerprint
    note = (entry.path / "LICENCE.txt").read_text("utf-8")
    assert note.startswith("Made up.")
    assert base.fingerprint in note
    assert "replaced: transformer." in note
    loaded = load_bundle("tuned", check=True)
    assert (entry.path / "tokenizer.safetensors").samefile(base.path / "tokenizer.safetensors")

    trunk, tokenizer = float_parts(base)
    prior = with_bits(trunk, 16)
    prior.load_state_dict(load_file(run / "ema.safetensors"))
    batch = CaptionSampler(load_records(data, trunk.config)[0], encode, 2).draw(np.random.default_rng(0))
    inputs = tokenize(tokenizer, batch).inputs
    assert isinstance(loaded.prior, VAR)
    assert loaded.prior.config == trunk.config
    found = teacher_forced(loaded.prior, batch, inputs)
    assert torch.equal(found, teacher_forced(prior.trunk, batch, inputs))
    assert not torch.equal(found, teacher_forced(trunk, batch, inputs))


def test_a_narrow_model_is_trained_wide(
    imported: Imported, captions: Callable[..., Path], encode: Encode, tmp_path: Path
) -> None:
    """Matrices in bfloat16 are float32 in training, where small steps move them, and narrow again afterwards."""
    wide = imported("m")
    trunk, _ = float_parts(wide)
    narrow = rounded(trunk.config, dict(trunk.state_dict()))
    base = save_derived(wide, wide.path.parent / "narrow", transformer=(trunk.config, narrow))
    trunk, _ = float_parts(base)
    assert trunk.head.weight.dtype == torch.bfloat16
    for d in (16, 20):
        assert {tensor.dtype for tensor in with_bits(trunk, d).state_dict().values()} == {torch.float32}
    run = tmp_path / "run"
    finetune(base, captions(5), run, 0.01, encode, batch=2)
    trained = load_file(run / "ema.safetensors")
    key = "blocks.0.ffn.0.weight"
    start = trunk.state_dict()[key]
    assert (trained[f"trunk.{key}"] != start).float().mean() > 0.9
    entry = export_finetuned(base, run / "ema.safetensors", base.path.parent / "tuned")
    found = load_file(entry.path / "transformer.safetensors")
    assert {name: tensor.dtype for name, tensor in found.items()} == {n: t.dtype for n, t in narrow.items()}
    assert torch.equal(found[key], trained[f"trunk.{key}"].bfloat16())


def test_training_sees_the_bits_that_coding_does(
    imported: Imported, captions: Callable[..., Path], tmp_path: Path
) -> None:
    """The published norms stay channels first, whatever the order of a batch."""
    base, data = imported("m", text_channels=0), captions(3)
    trunk, tokenizer = float_parts(base)
    batch = CaptionSampler(load_records(data, trunk.config)[0], None, 2).draw(np.random.default_rng(0))
    expected = tokenizer.encoder(batch.x.contiguous())
    finetuned = with_bits(trunk, 16)
    train_prior(finetuned, tokenizer, lambda rng: batch, lambda: iter(()), tmp_path / "run", 0.003, FAST)
    assert all(weights.is_contiguous() for weights in tokenizer.state_dict().values())
    assert torch.equal(tokenizer.encoder(batch.x), expected)


def test_a_stopped_run_ends_like_any_other(
    imported: Imported, captions: Callable[..., Path], encode: Encode, tmp_path: Path
) -> None:
    base, data = imported("m"), captions(5)
    minutes = 0.0245  # not on a tick of the clock
    setup = replace(FAST, save_minutes=0.01)
    finetune(base, data, tmp_path / "whole", minutes, encode, batch=2, setup=setup)

    calls = Counter[str]()

    def killed(caption: str) -> Tensor:
        calls["all"] += 1
        if calls["all"] > 50:
            raise KeyboardInterrupt
        return encode(caption)

    with pytest.raises(KeyboardInterrupt):
        finetune(base, data, tmp_path / "run", minutes, killed, batch=2, setup=setup)
    stopped = json.loads((tmp_path / "run" / "state.json").read_text("utf-8"))["step"]
    assert stopped > 0
    assert calls["all"] > 2 * stopped + 1
    finetune(base, data, tmp_path / "run", minutes, encode, batch=2, setup=setup)
    for name in ("weights", "ema"):
        whole, resumed = (load_file(tmp_path / folder / f"{name}.safetensors") for folder in ("whole", "run"))
        assert all(torch.equal(tensor, resumed[key]) for key, tensor in whole.items())
    assert log(tmp_path / "run")[-1] == log(tmp_path / "whole")[-1]


def test_another_number_of_bits_starts_bit_layers_anew(
    imported: Imported, captions: Callable[..., Path], encode: Encode, tmp_path: Path
) -> None:
    base, other, data = imported("m", 32), imported("other", 16), captions(5)
    trunk, _ = float_parts(base)
    prior = with_bits(trunk, 16)
    old, new = trunk.state_dict(), prior.trunk.state_dict()
    assert new["head.weight"].shape == (32, 64)
    assert new["head.weight"].any()
    assert all(torch.equal(old[name], new[name]) for name in old if not name.startswith(BIT_LAYERS))
    run = tmp_path / "run"
    with pytest.warns(NoteWarning, match="start anew"):
        finetune(base, data, run, 0.01, encode, tokenizer="other", batch=2, setup=FAST)
    assert "16 bits a token, not 32" in log(run)[0]["note"]
    finetune(base, data, run, 0.015, encode, tokenizer="other", batch=2, setup=FAST)
    assert sum("note" in line for line in log(run)) == 1
    with pytest.raises(ModelError, match="not the weights of a run from 'm'"):
        export_finetuned(base, run / "ema.safetensors", tmp_path / "wrong")
    entry = export_finetuned(base, run / "ema.safetensors", tmp_path / "tuned", tokenizer=str(other.path))
    bundle = load_folder(entry.path, check=True)
    assert isinstance(bundle.prior, VAR)
    assert bundle.prior.config.d == bundle.tokenizer.config.channels == 16
    assert all(
        torch.equal(tensor, load_folder(other.path).tokenizer.state_dict()[name])
        for name, tensor in bundle.tokenizer.state_dict().items()
    )


@pytest.mark.thorough
def test_the_published_model_learns(
    shared_dir: Path, infinity_tiny, captions: Callable[..., Path], tmp_path: Path
) -> None:
    def features(caption: str) -> Tensor:
        return torch.randn(4, 256, generator=torch.Generator().manual_seed(len(caption)))

    base = read_entry(infinity_tiny.entry.path)
    setup = replace(FINETUNING, lr=2e-3)
    finetune(base, captions(3, 200, 320), tmp_path / "run", 0.035, features, batch=1, setup=setup)
    assert losses(tmp_path / "run")[-1] < 0.95 * losses(tmp_path / "run")[0]
    assert "val_336x224_ratio" in log(tmp_path / "run")[-1]


def test_tokens_weigh_as_published() -> None:
    schedule = scale_schedule(16, 12)
    nats = [torch.rand(h * w) for h, w in schedule]
    areas = [h * w for h, w in schedule]
    positions = torch.cat([torch.full((n,), math.sqrt(areas[-1] / n)) for n in areas])
    published = (positions / positions.sum() * torch.cat(nats)).sum()
    weights = scale_weights(MultiScaleBSQ(16), schedule, torch.device("cpu"))
    ours = (weights * torch.stack([n.mean() for n in nats])).sum()
    assert torch.allclose(published, ours)


def test_masked_bits_are_no_part_of_the_loss(imported: Imported, captions: Callable[..., Path]) -> None:
    base, data = imported("m", text_channels=0), captions(3)
    trunk, tokenizer = float_parts(base)
    prior = with_bits(trunk, 16)
    batch = CaptionSampler(load_records(data, trunk.config)[0], None, 2).draw(np.random.default_rng(0))
    first = [loss.item() for loss in scale_losses(prior, tokenizer, batch)[0]]
    active = tokenizer.quantizer.active(len(batch.schedule))
    assert active[0] < 16
    with torch.no_grad():
        prior.trunk.head.bias[2 * active[0] + 1 :: 2] += 7
    second = [loss.item() for loss in scale_losses(prior, tokenizer, batch)[0]]
    assert [a == b for a, b in zip(first, second, strict=True)] == [a <= active[0] for a in active]


def test_dropped_text_is_replaced_and_the_callers_kept() -> None:
    trunk = VAR(PriorConfig(embed_dim=32, depth=1, num_heads=2, text_channels=128, text_maxlen=8))
    text = Text.pad([torch.randn(3, 128), torch.randn(5, 128)])
    before = text.features_btc.clone()
    dropped = trunk.text.dropped(text, torch.tensor([False, True]))
    assert torch.equal(text.features_btc, before)
    assert torch.equal(dropped.features_btc[0], before[0])
    assert torch.equal(dropped.features_btc[1], trunk.text.uncond[:5])
    assert dropped.mask_bt is text.mask_bt
    dropped.features_btc.sum().backward()
    assert trunk.text.uncond.grad is not None
    assert (trunk.text.uncond.grad[:5] == 1).all()


def test_text_is_dropped_as_often_as_asked(
    imported: Imported, captions: Callable[..., Path], encode: Encode, tmp_path: Path
) -> None:
    """Nothing but the unconditional features teaches them; nothing but captions teaches without a gradient to them."""
    base, data = imported("m"), captions(3)
    start = float_parts(base)[0].text.uncond
    for share in (0.0, 1.0):
        run = tmp_path / f"{share}"
        finetune(base, data, run, 0.01, encode, batch=2, setup=replace(FAST, text_drop=share))
        moved = not torch.equal(load_file(run / "weights.safetensors")["trunk.text.uncond"], start)
        assert moved == (share > 0)


def test_captions_are_drawn_half_and_half(imported: Imported, captions: Callable[..., Path], encode: Encode) -> None:
    seen = Counter[bool]()

    def counted(caption: str) -> Tensor:
        seen[caption.startswith("a long")] += 1
        return encode(caption)

    train, held = load_records(captions(40, 16, 16), PriorConfig())
    assert [record.image.name for record in held] == ["0.png", "32.png"]
    assert len(train) == 38
    sampler = CaptionSampler(train, counted, 4)
    for seed in range(50):
        batch = sampler.draw(np.random.default_rng(seed))
        assert batch.text is not None
        assert len(batch.text.features_btc) == len(batch.x) == 4
    assert 70 < seen[True] < 130
    assert seen.total() == 200


def test_pictures_are_covered_centred_and_upright(tmp_path: Path, captions: Callable[..., Path]) -> None:
    pixels = np.zeros((64, 192, 3), np.uint8)
    pixels[:, 64:128] = 255  # the square in the middle
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    said = PngInfo()
    said.add_itxt("XML:com.adobe.xmp", '<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>')
    Image.fromarray(pixels).save(tmp_path / "said.png", pnginfo=said)
    lines = [json.dumps({"image": name}) for name in ("wide.png", "turned.png", "said.png")]
    (tmp_path / "c.jsonl").write_text("\n".join(lines))
    (turned, said_so), (wide,) = load_records(tmp_path / "c.jsonl", PriorConfig())
    assert said_so.layout.size == (192, 64)
    assert np.array_equal(said_so.pixels(), turned.pixels())
    assert wide.layout.size == (64, 192)
    assert turned.layout.size == (192, 64)
    assert turned.pixels().shape == (192, 64, 3)
    square = replace(wide, layout=wide.layout._replace(size=(128, 128)))
    assert square.pixels()[:, 8:-8].min() > 250


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"image": "a.png"}\nnonsense\n', "c.jsonl:2: not"),
        ('{"long": "x"}', "c.jsonl:1: not"),
        ('{"image": "a.png", "long": 3}', "a caption is not a text"),
        ('{"image": "b.png", "long": "x"}', "b.png: cannot be read as a picture"),
        ('{"image": "a.png", "long": "x"}', "at least two"),
    ],
)
def test_bad_records_are_named(tmp_path: Path, content: str, message: str) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    (tmp_path / "c.jsonl").write_text(content)
    with pytest.raises(ModelError, match=message):
        load_records(tmp_path / "c.jsonl", PriorConfig())
    with pytest.raises(ModelError, match="no training data"):
        load_records(tmp_path / "none.jsonl", PriorConfig())


def command(*words: str | Path) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert "Traceback" not in result.stderr
    return result


def test_the_commands(
    imported: Imported,
    captions: Callable[..., Path],
    encode: Encode,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base, data = imported("m"), captions(4)
    monkeypatch.setitem(sys.modules, "arpc_codec.text", SimpleNamespace(text_encoder=lambda entry: encode))
    words = ["train", "prior", "--init", "m", "--data", data, "-o", tmp_path / "run", "--minutes", "0.01"]
    result = command(*words, "--batch", "2")
    assert result.exit_code == 0, result.stderr
    export = ["train", "export-finetuned", "-m", base.path, "--prior", tmp_path / "run" / "ema.safetensors"]
    result = command(*export, "-o", base.path.parent / "tuned", "--id", "900", "--temperature", "0.8")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split()[:2] == ["900", "tuned"]
    assert load_bundle("tuned").prior.config.temperature == 0.8
    assert load_bundle("m").prior.config.temperature == 0.5
    assert command("models", "check", "tuned").stdout == "tuned: ok\n"
    monkeypatch.setitem(sys.modules, "arpc_codec.text", SimpleNamespace(text_encoder=lambda entry: None))
    for more, code, message in (
        ((), 5, "'m' has no text encoder"),
        (("--config", "tiny"), 2, "--config does not go with"),
        (("--init", "nothing"), 5, "'nothing' is not on this machine"),
        (("--init", "tiny"), 5, "'tiny' has no float transformer"),
        (("--init", tmp_path / "run" / "ema.safetensors"), 2, "--tokenizer is missing"),
    ):
        result = command(*words, *more)
        assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    result = command(*export, "-o", base.path.parent / "tuned")
    assert (result.exit_code, "exists already" in result.stderr) == (1, True)
