"""Models made of an imported one: what is kept, what is new, and nothing left behind when it cannot be."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from arpc_codec.errors import ModelError, UsageError
from arpc_codec.prior.context import ContextHead
from arpc_codec.train.finetune import other_tokenizer
from arpc_codec.zoo.bundle import TOKENIZER, TRANSFORMER, ContextSizes, load_folder, save_imported
from arpc_codec.zoo.derived import save_derived
from arpc_codec.zoo.folder import Tensors
from arpc_codec.zoo.infinity import transformer_state
from arpc_codec.zoo.infinity_tokenizer import tokenizer_state
from arpc_codec.zoo.registry import ModelEntry, find, read_entry

Published = Callable[..., tuple[dict[str, Tensor], dict[str, Tensor]]]


@pytest.fixture
def base(published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelEntry:
    """An imported model with a text encoder's folder and half of its weights in float16."""
    home = tmp_path / "models"
    monkeypatch.setenv("ARPC_HOME", str(home))
    tokenizer, transformer = published()
    halves = tokenizer_state(tokenizer), transformer_state({k: v.half() for k, v in transformer.items()})
    save_imported(home / "m", None, "m", "theirs", *halves)
    (tmp_path / "t5").mkdir()
    (home / "m" / "text").symlink_to(tmp_path / "t5", target_is_directory=True)
    return read_entry(home / "m")


@pytest.fixture
def context() -> tuple[ContextSizes, Tensors]:
    torch.manual_seed(0)
    return ContextSizes(width=8, hidden=2), dict(ContextHead(64, 16, 8, 2).state_dict())


@pytest.mark.parametrize("links", [True, False])
def test_other_files_are_linked_or_copied(
    base: ModelEntry, context: tuple[ContextSizes, Tensors], monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def no_links(source: Path, target: Path) -> None:
        raise OSError("not here")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    (base.path / TOKENIZER).chmod(0o600)
    entry = save_derived(base, base.path.parent / "new", context=context)
    assert (base.path / TOKENIZER).stat().st_mode & 0o777 == 0o600
    for file in (TOKENIZER, TRANSFORMER):
        assert (entry.path / file).read_bytes() == (base.path / file).read_bytes()
        assert (entry.path / file).samefile(base.path / file) == links
    assert (entry.path / "text").resolve() == (base.path / "text").resolve()
    assert (entry.licence, find(entry.id).name) == ("theirs", "new")
    assert load_folder(entry.path, check=True).context is not None
    assert "replaced: context." in (entry.path / "LICENCE.txt").read_text("utf-8")


def test_nothing_is_left_behind(base: ModelEntry, context: tuple[ContextSizes, Tensors]) -> None:
    home = base.path.parent
    entry = save_derived(base, home / "new", context=context)
    for out, options in (
        (home / "again", {}),
        (home / "again", {"model_id": find("tiny").id}),
        (home / "again", {"name": "m"}),
        (home / "123", {}),
    ):
        with pytest.raises(UsageError):
            save_derived(base, out, context=context, **options)
    with pytest.raises(ModelError, match="'tiny' has no float transformer"):
        save_derived(find("tiny"), home / "again", context=context)
    assert sorted(path.name for path in home.iterdir()) == ["m", "new"]
    assert load_folder(entry.path, check=True).entry == entry


def test_another_tokenizer_is_a_model_or_a_published_file(
    base: ModelEntry, published: Published, tmp_path: Path
) -> None:
    weights = published(d=8)[0]
    save_file(weights, tmp_path / "vae.safetensors")
    tokenizer = other_tokenizer(str(tmp_path / "vae.safetensors"))
    assert (tokenizer.config.channels, tokenizer.config.masked, tokenizer.config.fill) == (8, True, -1.0)
    assert torch.equal(tokenizer.encoder.stem.weight, weights["encoder.conv_in.conv.weight"])
    for name in ("m", str(base.id), str(base.path)):
        assert other_tokenizer(name).config.channels == 16
    with pytest.raises(ModelError, match="'nothing' is not on this machine"):
        other_tokenizer("nothing")
