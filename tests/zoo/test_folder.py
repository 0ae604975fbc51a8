"""Model folders: what is written is read, and what was altered is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest
import torch
from safetensors.torch import load_file, save_file

from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.codecs.hpac import HpacCodec
from arpc_codec.codecs.progic import ProgicCodec
from arpc_codec.errors import ModelError
from arpc_codec.zoo.bundle import load_folder
from arpc_codec.zoo.checking import check
from arpc_codec.zoo.folder import fingerprint
from arpc_codec.zoo.progic import PRIOR as INDEX_PRIOR
from arpc_codec.zoo.progic import WEIGHTS, load_progic, save_progic
from arpc_codec.zoo.registry import CONFIG, find, read_entry


@pytest.fixture
def folder(micro_progic: ProgicCodec, tmp_path: Path) -> Path:
    """A copy of the micro ProGIC model, to be spoilt."""
    return copytree(micro_progic.model.entry.path, tmp_path / "copy")


def test_a_folder_of_every_codec_is_found_and_checked(
    micro_home: Path, micro_progic: ProgicCodec, micro_lossless: HpacCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARPC_HOME", str(micro_home))
    for name, codec in (("micro", "arpc"), ("micro-progic", "progic"), ("micro-lossless", "hpac")):
        entry = find(name)
        assert entry.codec == codec
        check(entry)
        with pytest.raises(ModelError, match="unknown codec jpeg"):
            check(replace(entry, codec="jpeg"))


def test_weights_are_float16_without_what_only_training_needs(folder: Path) -> None:
    stored = load_file(folder / WEIGHTS)
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    assert "quantizer.codebooks" in stored
    assert not {"quantizer.uses", "quantizer.sums"} & stored.keys()
    loaded = load_progic(folder).network.state_dict()
    assert all(torch.equal(loaded[name], tensor.float()) for name, tensor in stored.items())


def test_the_fingerprint_covers_codebooks_and_sizes(folder: Path) -> None:
    entry = read_entry(folder)
    stored = load_file(folder / WEIGHTS)
    stored["quantizer.codebooks"][2, 5, 1] += 0.01
    save_file(stored, folder / WEIGHTS)
    assert load_progic(folder).entry == entry
    with pytest.raises(ModelError, match="fingerprint"):
        load_progic(folder, check=True)
    with pytest.raises(ModelError, match="fingerprint"):
        check(entry)
    sizes = json.loads((folder / CONFIG).read_text("utf-8"))["progic"]
    marks = {fingerprint(s, {WEIGHTS: stored}) for s in ({"progic": sizes}, {"progic": sizes | {"entries": 999}})}
    assert len(marks | {entry.fingerprint}) == 3


def test_unreadable_folders_are_refused(folder: Path) -> None:
    stored = load_file(folder / WEIGHTS)
    for spoilt in (
        {name: tensor for name, tensor in stored.items() if name != "decoder.stem.bias"},
        stored | {"more": stored["decoder.stem.bias"].clone()},
        stored | {"decoder.stem.bias": stored["decoder.stem.bias"][:1].clone()},
    ):
        save_file(spoilt, folder / WEIGHTS)
        with pytest.raises(ModelError, match="micro-progic"):
            load_progic(folder)
    (folder / WEIGHTS).write_bytes(b"no weights")
    with pytest.raises(ModelError, match="micro-progic"):
        load_progic(folder)
    values = json.loads((folder / CONFIG).read_text("utf-8"))
    for sizes in ({"stages": 0}, {"width": 3}, [], {"stages": 1e999}):
        (folder / CONFIG).write_text(json.dumps(values | {"progic": sizes}))
        with pytest.raises(ModelError, match="micro-progic"):
            load_progic(folder)


def test_more_stages_than_a_file_can_count_are_refused(micro_progic: ProgicCodec, tmp_path: Path) -> None:
    config = replace(micro_progic.config, stages=8)
    with pytest.raises(ModelError, match="8 stages"):
        save_progic(tmp_path / "m", 5, "m", "test", config, micro_progic.network.state_dict())
    assert not (tmp_path / "m").exists()


def test_a_prior_of_indices_belongs_to_the_folder(micro_coded: ProgicCodec, tmp_path: Path) -> None:
    folder = copytree(micro_coded.model.entry.path, tmp_path / "copy")
    assert load_progic(folder, check=True).prior is not None
    stored = load_file(folder / INDEX_PRIOR)
    assert {tensor.dtype for tensor in stored.values()} <= {torch.int8, torch.int16, torch.int32}
    stored["low.bias"][0] += 1
    save_file(stored, folder / INDEX_PRIOR)
    with pytest.raises(ModelError, match="fingerprint"):
        load_progic(folder, check=True)
    (folder / INDEX_PRIOR).unlink()
    with pytest.raises(ModelError, match="micro-coded"):
        load_progic(folder)


def test_whoever_may_read_the_folder_may_read_its_weights(folder: Path) -> None:
    assert {path.stat().st_mode for path in folder.iterdir()} == {(folder / CONFIG).stat().st_mode}


def test_tokens_of_both_networks_must_be_the_same(micro_planes: ArpcCodec, tmp_path: Path) -> None:
    folder = copytree(micro_planes.bundle.entry.path, tmp_path / "copy")
    values = json.loads((folder / CONFIG).read_text("utf-8"))
    values["tokenizer"]["groups"] = [2, 4, 5, 8]
    (folder / CONFIG).write_text(json.dumps(values))
    with pytest.raises(ModelError, match="'micro-planes': tokens of the tokenizer and those of the prior differ"):
        load_folder(folder)
