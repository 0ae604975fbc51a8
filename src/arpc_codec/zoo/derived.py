"""A model made of an imported one: some parts trained anew, the others the very same files."""

from __future__ import annotations

from pathlib import Path

from arpc_codec.errors import ModelError
from arpc_codec.prior.config import PriorConfig
from arpc_codec.tokenizer import TokenizerConfig
from arpc_codec.zoo.bundle import TOKENIZER, TRANSFORMER, ContextSizes, save_imported
from arpc_codec.zoo.folder import Tensors, naming, read_folder
from arpc_codec.zoo.placing import NOTE, check_new, link, new_folder
from arpc_codec.zoo.registry import CAPTIONER, TEXT, ModelEntry, read_entry

_NOTE = """
Of the model '{base}' (fingerprint {mark}) these parts were then trained or replaced: {parts}.
"""


def save_derived(
    base: ModelEntry,
    out: Path,
    *,
    tokenizer: tuple[TokenizerConfig, Tensors] | None = None,
    transformer: tuple[PriorConfig, Tensors] | None = None,
    context: tuple[ContextSizes, Tensors] | None = None,
    model_id: int | None = None,
    name: str | None = None,
    licence: str | None = None,
) -> ModelEntry:
    """Write the model folder `out`: the imported model `base` with other parts; those not given are linked or copied.

    A context head belongs to its transformer, so that of `base` is never kept. licence, text encoder and note are those
    of `base`; name and id as in `import_infinity`. Raises ModelError for a `base` without a float transformer, else as
    `placing.check_new` and `placing.new_folder`.
    """
    name = check_new(out, model_id, name)
    parts = {"tokenizer": tokenizer, "transformer": transformer, "context": context}
    entry, sizes, files = read_folder(
        base.path, ("tokenizer",), (TOKENIZER,), check=False, optional={"transformer": TRANSFORMER}
    )
    if "transformer" not in sizes:
        raise ModelError(f"model '{entry.name}' has no float transformer")
    linked = {}
    with naming(entry):
        if tokenizer is None:
            tokenizer = TokenizerConfig.from_json(sizes["tokenizer"]), files[TOKENIZER]
            linked[TOKENIZER] = base.path / TOKENIZER
        if transformer is None:
            transformer = PriorConfig(**sizes["transformer"]), files[TRANSFORMER]
            linked[TRANSFORMER] = base.path / TRANSFORMER
    with new_folder(out) as temporary:
        licence = entry.licence if licence is None else licence
        save_imported(temporary, model_id, name, licence, tokenizer, transformer, context, linked=linked)
        trained = ", ".join(part for part, given in parts.items() if given is not None)
        note = (base.path / NOTE).read_text("utf-8") if (base.path / NOTE).is_file() else ""
        (temporary / NOTE).write_text(
            note + _NOTE.format(base=entry.name, mark=entry.fingerprint, parts=trained), "utf-8"
        )
        linked = {name: base.path / name for name in (TEXT, CAPTIONER)}
        link(temporary, {name: folder if folder.exists() else None for name, folder in linked.items()})
    return read_entry(out)
