"""Published checkpoints -> a model folder: read, fitted, completed by a preset, written whole or not at all."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import ArpcError, ModelError, UsageError
from ..prior.config import PriorConfig
from ..text.pretrained import check_folder
from . import infinity, infinity_tokenizer
from .bundle import save_imported
from .checkpoint import read_weights
from .registry import CAPTIONER, TEXT, ModelEntry, models, read_entry

NOTE = "LICENCE.txt"
LICENCE = f"see {NOTE}"
_NOTE = """\
These weights were converted by `arpc models import infinity` from

  tokenizer    {tokenizer}
  transformer  {transformer}

and nothing was added to them. They stay under the licence under which those files were published, which this project
can neither grant nor change; read it where the files came from before passing them on.
"""


@dataclass(frozen=True)
class Preset:
    """What no checkpoint holds: fields of the tokenizer's and of the transformer's config."""

    tokenizer: Mapping[str, Any]
    transformer: Mapping[str, Any]


_PUBLISHED = {"scale_embed": "index", "rope_grid": "published", "key_tokens": 0}
PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "infinity": Preset({"masked": False}, {**_PUBLISHED, "temperature": 1.0}),
        "arpc": Preset({"masked": True, "fill": -1.0}, {**_PUBLISHED, "temperature": 0.5}),
    }
)


def import_infinity(
    tokenizer: Path,
    transformer: Path,
    out: Path,
    *,
    text: Path | None = None,
    captioner: Path | None = None,
    preset: str = "infinity",
    bf16: bool = False,
    model_id: int | None = None,
    name: str | None = None,
) -> ModelEntry:
    """Write the model folder `out` of two published files.

    text, captioner: folders of the text encoder and of the captioning network, which `out` will link to. bf16: the
    transformer's matrices are rounded to bfloat16, half the memory; that is another model, and both ends of a link need
    the same one. model_id: None for one made of the fingerprint, the same everywhere. name: None for the name of `out`.

    Raises ModelError for files that cannot be used or do not fit together, UsageError for a bad name or one that is
    taken, ArpcError when `out` exists or cannot be written.
    """
    name = out.name if name is None else name
    if not re.fullmatch(r"[\w.-]+", name) or name.isdecimal():
        raise UsageError(f"a model's name is letters, digits, '.', '_' and '-', not digits alone: not {name!r}")
    if out.exists() or out.is_symlink():
        raise ArpcError(f"{out} exists already")
    _check_free({name} if model_id is None else {name, str(model_id)})
    rest = PRESETS[preset]
    pixels, images = infinity_tokenizer.tokenizer_state(read_weights(tokenizer, infinity_tokenizer.NESTINGS))
    tokens, weights = infinity.transformer_state(read_weights(transformer, infinity.NESTINGS))
    if pixels.channels != tokens.d:
        raise ModelError(f"the tokenizer has {pixels.channels} bits a token, the transformer {tokens.d}")
    if text is not None:
        _check_text(text, tokens)
    if captioner is not None:
        check_folder(captioner, "blip")
    if bf16:
        weights = infinity.rounded(tokens, weights)
    halves = ((replace(pixels, **rest.tokenizer), images), (replace(tokens, **rest.transformer), weights))
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}.tmp")
    try:
        save_imported(temporary, model_id, name, LICENCE, *halves)
        _check_free({str(read_entry(temporary).id)})
        (temporary / NOTE).write_text(_NOTE.format(tokenizer=tokenizer.name, transformer=transformer.name))
        for link, folder in ((TEXT, text), (CAPTIONER, captioner)):
            if folder is not None:
                (temporary / link).symlink_to(folder.resolve(), target_is_directory=True)
        os.rename(temporary, out)
    except OSError as error:
        raise ArpcError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return read_entry(out)


def _check_free(labels: set[str]) -> None:
    """UsageError when a model on this machine has one of these names or ids."""
    for entry in models():
        if taken := labels & {entry.name, str(entry.id)}:
            raise UsageError(f"{min(taken)} is taken by the model in {entry.path}: choose another --name or --id")


def _check_text(folder: Path, config: PriorConfig) -> None:
    """ModelError unless the folder's config.json has the width of the transformer's text features."""
    try:
        width = json.loads((folder / "config.json").read_text())["d_model"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder}: not the folder of a text encoder (no config.json with d_model)") from error
    if width != config.text_channels:
        raise ModelError(f"{folder}: {width} features a token, the transformer takes {config.text_channels}")
