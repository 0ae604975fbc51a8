"""A float context head beside an imported transformer: kept as it is, named by the fingerprint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from arpc_codec.errors import ModelError
from arpc_codec.prior.context import ContextHead
from arpc_codec.zoo.bundle import CONTEXT, ContextSizes, load_folder, save_imported
from arpc_codec.zoo.infinity import transformer_state
from arpc_codec.zoo.infinity_tokenizer import tokenizer_state


def test_a_context_head_belongs_to_the_folder(
    published: Callable[..., tuple[dict[str, Tensor], dict[str, Tensor]]], tmp_path: Path
) -> None:
    tokenizer, transformer = published()
    halves = tokenizer_state(tokenizer), transformer_state(transformer)
    sizes = ContextSizes(width=12, hidden=3)
    head = ContextHead(halves[1][0].embed_dim, 16, **sizes)
    without = save_imported(tmp_path / "without", None, "m", "test", *halves)
    mark = save_imported(tmp_path / "m", None, "m", "test", *halves, context=(sizes, head.state_dict()))
    assert mark != without
    assert load_folder(tmp_path / "without", check=True).context is None
    loaded = load_folder(tmp_path / "m", check=True).context
    assert loaded is not None
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in head.state_dict().items())

    stored = load_file(tmp_path / "m" / CONTEXT)
    stored["bias"] += 1
    save_file(stored, tmp_path / "m" / CONTEXT)
    with pytest.raises(ModelError, match="fingerprint"):
        load_folder(tmp_path / "m", check=True)
    config = tmp_path / "m" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text("utf-8")) | {"context": {"width": 13, "hidden": 3}}))
    with pytest.raises(ModelError, match="model 'm'"):
        load_folder(tmp_path / "m")
    (tmp_path / "m" / CONTEXT).unlink()
    with pytest.raises(ModelError, match="model 'm'"):
        load_folder(tmp_path / "m")
