"""A context head for an imported model: features kept on disk, the loss, resuming, and the model that comes out."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from torch import Tensor

from arpc_codec.cli.main import main
from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.container import read
from arpc_codec.errors import ArpcError
from arpc_codec.prior.model import Prior
from arpc_codec.prior.transformer import VAR
from arpc_codec.train import context
from arpc_codec.train.captions import batch_of, load_records
from arpc_codec.train.context import ContextTraining, head_losses, run_context_head
from arpc_codec.train.features import PROBE, Frozen, load, store
from arpc_codec.train.finetune import export_finetuned, finetune, float_parts
from arpc_codec.train.prior import FINETUNING, scale_losses
from arpc_codec.zoo.bundle import load_folder
from arpc_codec.zoo.registry import ModelEntry, find

Imported = Callable[..., ModelEntry]
Captions = Callable[..., Path]
Encode = Callable[[str], Tensor]
SMALL = ContextTraining(width=16, hidden=2, batch=2, lr=1e-2)


def frozen_of(model: ModelEntry, encode: Encode | None = None) -> Frozen:
    return Frozen(model.fingerprint, *float_parts(model), encode)


def test_the_head_beats_the_trunk_and_comes_with_the_model(
    imported: Imported, captions: Captions, encode: Encode
) -> None:
    base, data = imported("m"), captions(10, 96, 96)
    out = base.path.parent / "headed"
    entry, metrics = run_context_head(base, data, out, 0.1, encode, setup=SMALL)
    assert metrics["val_ratio"] < 0.95 * metrics["val_trunk"]
    assert entry == find("headed")
    assert (entry.licence, entry.id != base.id, entry.fingerprint != base.fingerprint) == ("own", True, True)
    for name in ("tokenizer.safetensors", "transformer.safetensors"):
        assert (entry.path / name).samefile(base.path / name)
    bundle = load_folder(entry.path, check=True)
    assert json.loads((entry.path / "config.json").read_text("utf-8"))["context"] == {"width": 16, "hidden": 2}

    # Logits are those of trunk over temperature plus head: the same losses from the pictures as from stored features.
    assert isinstance(bundle.prior, VAR)
    assert bundle.context is not None
    prior = Prior(bundle.prior.config, 16, 2)
    prior.trunk, prior.context = bundle.prior, bundle.context
    with torch.no_grad():
        for parameter in (prior.trunk.head.weight, prior.trunk.head.bias):
            parameter /= bundle.prior.config.temperature
    record = load_records(data, bundle.prior.config)[1][0]
    batch = batch_of([record], record.captions[:1], encode, torch.device("cpu"))
    with torch.no_grad():
        wanted = scale_losses(prior, bundle.tokenizer, batch)
        (path,) = store(frozen_of(base, encode), [record], out.with_name("headed.run") / "features")
        found = head_losses(
            bundle.context, load([path], torch.device("cpu")), batch.schedule, bundle.tokenizer.quantizer
        )
    for ours, theirs in zip(found, wanted, strict=True):
        assert torch.allclose(torch.stack(ours), torch.stack(theirs), atol=2e-3)
    with pytest.raises(ArpcError, match="exists already"):
        run_context_head(base, data, out, 0.1, encode, setup=SMALL)


def test_features_are_made_once(imported: Imported, captions: Captions, encode: Encode, tmp_path: Path) -> None:
    model, folder = imported("m"), tmp_path / "features"
    records = load_records(captions(6), float_parts(model)[0].config)[0]
    calls: list[str] = []

    def counted(caption: str) -> Tensor:
        if caption == PROBE:
            return encode(caption)
        calls.append(caption)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return encode(caption)

    frozen = frozen_of(model, counted)
    with pytest.raises(KeyboardInterrupt):
        store(frozen, records, folder)
    assert len(list(folder.iterdir())) == 3
    paths = store(frozen, records, folder)
    assert len(calls) == 6
    assert calls[:3] == ["a long caption of picture 1", "2", "a long caption of picture 3"]
    whole = [path.read_bytes() for path in paths]
    paths[0].write_bytes(whole[0][:-9])
    paths[1].write_bytes(b"")
    damaged = bytearray(whole[2])
    damaged[-9] ^= 1
    paths[2].write_bytes(damaged)
    paths[3].unlink()
    assert store(frozen, records, folder) == paths
    assert [path.read_bytes() for path in paths] == whole
    assert len(calls) == 10
    # Whatever features depend on is in the name.
    other = store(replace(frozen, fingerprint="other"), records[:1], folder)
    other += store(replace(frozen, encode=lambda caption: 2 * encode(caption)), records[:1], folder)
    assert len({*other}) == 2
    records[1].image.write_bytes(records[0].image.read_bytes())
    changed = store(frozen, records[1:2], folder)
    assert not {*other, *changed} & set(paths)
    features = load(changed, torch.device("cpu"))
    assert features.hidden.dtype == torch.float16
    assert features.bits.dtype == torch.bool
    assert features.logits.shape == features.bits.shape == (1, 21, 16)


def test_a_stopped_run_ends_like_any_other(
    imported: Imported, captions: Captions, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, data = imported("m"), captions(6)
    home, setup, calls = base.path.parent, replace(SMALL, save_minutes=0.01), Counter[str]()
    minutes = 0.0495  # not on a tick of the clock
    whole, _ = run_context_head(base, data, home / "whole", minutes, encode, setup=setup)

    def killed(paths, device):
        calls["all"] += 1
        if calls["all"] > 40:
            raise KeyboardInterrupt
        return load(paths, device)

    with monkeypatch.context() as patch:
        patch.setattr(context, "load", killed)
        with pytest.raises(KeyboardInterrupt):
            run_context_head(base, data, home / "again", minutes, encode, setup=setup)
    assert json.loads((home / "again.run" / "state.json").read_text("utf-8"))["step"] > 0
    assert not (home / "again").exists()
    again, _ = run_context_head(base, data, home / "again", minutes, encode, model_id=900, setup=setup)
    assert again.fingerprint == whole.fingerprint


def test_files_get_smaller(imported: Imported, captions: Captions, picture: Callable[..., np.ndarray]) -> None:
    """A picture that was not seen, coded with a model as it was, fine-tuned, and fine-tuned and with a head."""
    base, data = imported("m", text_channels=0), captions(10, 96, 96)
    home, weights = base.path.parent, base.path.parent.parent / "run" / "ema.safetensors"
    finetune(base, data, weights.parent, 0.04, None, batch=2, setup=replace(FINETUNING, lr=3e-3))
    tuned = export_finetuned(base, weights, home / "tuned")
    both, _ = run_context_head(tuned, data, home / "both", 0.1, None, setup=SMALL)
    # A head belongs to its transformer: none is left when that is another.
    assert export_finetuned(both, weights, home / "again", model_id=900).fingerprint == tuned.fingerprint
    sizes = []
    for name in ("m", "tuned", "both"):
        codec = ArpcCodec.load(name)
        coded = codec.encode(picture(96, 96, 90)).data
        assert not codec.decode(read(coded)).damaged
        sizes.append(len(coded))
    assert sizes[2] < sizes[1] < sizes[0]


@pytest.mark.parametrize("text_channels", [0, 128])
def test_pictures_without_captions_serve(imported: Imported, captions: Captions, text_channels: int) -> None:
    """A folder of pictures: a model with text predicts from what it learned for `no text`."""
    base = imported("m", text_channels=text_channels)
    data = captions(3).parent / "pictures"
    (data / "notes.txt").write_text("no picture")
    words = [
        "train",
        "context-head",
        str(data),
        "-m",
        "m",
        "-o",
        str(base.path.parent / "headed"),
        "--minutes",
        "0.005",
    ]
    result = CliRunner().invoke(main, [*words, "--licence", "mine"])
    assert result.exit_code == 0, result.stderr
    entry = find("headed")
    first, second = result.stdout.splitlines()
    assert first == f"{entry.id}  headed  {entry.fingerprint}"
    assert second.startswith("held-out pictures: ")
    assert second.endswith("without the head")
    assert entry.licence == "mine"
    assert load_folder(entry.path, check=True).context is not None


def test_captions_reach_the_transformer(
    imported: Imported, captions: Captions, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, data, asked = imported("m"), captions(3), []
    monkeypatch.setitem(
        sys.modules, "arpc_codec.text", SimpleNamespace(text_encoder=lambda entry: asked.append(entry.name) or encode)
    )
    out = str(base.path.parent / "headed")
    result = CliRunner().invoke(
        main, ["train", "context-head", str(data), "-m", str(base.path), "-o", out, "--minutes", "0.005"]
    )
    assert result.exit_code == 0, result.stderr
    assert asked == ["m"]
    records = load_records(data, float_parts(base)[0].config)[0]
    with_text, without = frozen_of(base, encode), frozen_of(base)
    one, other = with_text.features(records[0], "a caption"), without.features(records[0], "a caption")
    assert torch.equal(one.bits, other.bits)
    assert not torch.equal(one.logits, other.logits)
    assert torch.equal(with_text.features(records[0], "").logits, other.logits)
    made = {path.name for path in Path(f"{out}.run/features").iterdir()}
    assert {path.name for path in store(with_text, records, Path(f"{out}.run/features"))} <= made
    assert load_file(f"{out}/context.safetensors")["bias"].any()
