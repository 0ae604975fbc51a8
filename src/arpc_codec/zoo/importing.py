"""Published checkpoints -> a model folder: read, fitted, completed by a preset, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from arpc_codec.errors import ModelError
from arpc_codec.text.pretrained import check_folder
from arpc_codec.zoo import infinity, infinity_tokenizer
from arpc_codec.zoo.bundle import save_imported
from arpc_codec.zoo.checkpoint import read_weights
from arpc_codec.zoo.placing import NOTE, check_new, link, new_folder
from arpc_codec.zoo.registry import CAPTIONER, TEXT, ModelEntry, read_entry

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
    name = check_new(out, model_id, name)
    rest = PRESETS[preset]
    pixels, images = infinity_tokenizer.tokenizer_state(read_weights(tokenizer, infinity_tokenizer.NESTINGS))
    tokens, weights = infinity.transformer_state(read_weights(transformer, infinity.NESTINGS))
    if pixels.channels != tokens.d:
        raise ModelError(f"the tokenizer has {pixels.channels} bits a token, the transformer {tokens.d}")
    if text is not None:
        width = check_folder(text, "t5").get("d_model")
        if width != tokens.text_channels:
            raise ModelError(f"{text}: {width} features a token, the transformer takes {tokens.text_channels}")
    if captioner is not None:
        check_folder(captioner, "blip")
    if bf16:
        weights = infinity.rounded(tokens, weights)
    halves = ((replace(pixels, **rest.tokenizer), images), (replace(tokens, **rest.transformer), weights))
    with new_folder(out) as temporary:
        save_imported(temporary, model_id, name, LICENCE, *halves)
        (temporary / NOTE).write_text(_NOTE.format(tokenizer=tokenizer.name, transformer=transformer.name), "utf-8")
        link(temporary, {TEXT: text, CAPTIONER: captioner})
    return read_entry(out)
