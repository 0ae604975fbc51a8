"""`arpc train` for imported models: a fine-tuned prior, a context head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from arpc_codec.cli.options import Number
from arpc_codec.cli.train import options

if TYPE_CHECKING:
    from torch import Tensor

    from arpc_codec.zoo.registry import ModelEntry


def finetune(model: str, data: Path, out: Path, minutes: float, tokenizer: str | None, batch: int, device: str) -> None:
    """What `arpc train prior --init MODEL` does."""
    from arpc_codec.train.finetune import finetune
    from arpc_codec.train.weights import model_of

    entry = model_of("arpc", model)
    encode = _text_encoder(entry)
    finetune(entry, data, out, minutes, encode, tokenizer=tokenizer, batch=batch, device=device)


@click.command()
@click.option("-m", "--model", required=True, metavar="MODEL", help="Imported model that was fine-tuned.")
@click.option(
    "--prior", type=options.WEIGHTS, required=True, metavar="FILE", help="Its trained prior, RUN/ema.safetensors."
)
@click.option(
    "--tokenizer", type=options.WEIGHTS_OR_MODEL, metavar="FILE|MODEL", help="The other tokenizer it was trained with."
)
@click.option(
    "--temperature",
    type=Number(min=0, min_open=True),
    metavar="T",
    help="What coding divides logits by (that of MODEL).",
)
@options.derived
def export_finetuned(
    model: str,
    prior: Path,
    tokenizer: str | None,
    temperature: float | None,
    out: Path,
    model_id: int | None,
    name: str | None,
    licence: str | None,
) -> int:
    """Make a model folder of a fine-tuned prior; prints its id, name and fingerprint."""
    from arpc_codec.train.finetune import export_finetuned
    from arpc_codec.train.weights import model_of

    entry = export_finetuned(
        model_of("arpc", model),
        prior,
        out,
        tokenizer=tokenizer,
        temperature=temperature,
        model_id=model_id,
        name=name,
        licence=licence,
    )
    click.echo(f"{entry.id}  {entry.name}  {entry.fingerprint}")
    return 0


@click.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("-m", "--model", required=True, metavar="MODEL", help="Imported model, by name or folder.")
@options.derived
@options.minutes
@options.device
def context_head(
    data: Path,
    model: str,
    out: Path,
    minutes: float,
    model_id: int | None,
    name: str | None,
    licence: str | None,
    device: str,
) -> int:
    """Train a context head for an imported model, whose files get smaller by it; writes the model with the head.

    DATA is a folder of pictures, or a file of captioned ones as `arpc train prior` takes it. What the transformer makes
    of each picture is computed once (about 4 kB a token for 2048 channels) and kept in the folder DIR.run with
    the checkpoints, so that a stopped run goes on; delete it afterwards. Prints id, name and fingerprint, and the coded
    bits of held-out pictures as a share of the raw ones.
    """
    from arpc_codec.train import ranks
    from arpc_codec.train.context import run_context_head
    from arpc_codec.train.weights import model_of

    base = model_of("arpc", model)
    encode = None if data.is_dir() else _text_encoder(base)
    entry, metrics = run_context_head(
        base, data, out, minutes, encode, device=device, model_id=model_id, name=name, licence=licence
    )
    if not ranks.leads():
        return 0
    click.echo(f"{entry.id}  {entry.name}  {entry.fingerprint}")
    click.echo(
        f"held-out pictures: {metrics['val_ratio']:.4f} of the raw bits, {metrics['val_trunk']:.4f} without the head"
    )
    return 0


def _text_encoder(model: ModelEntry) -> Callable[[str], Tensor] | None:
    """Caption -> features by the model's text encoder; None when it has none."""
    from arpc_codec.text import text_encoder

    return text_encoder(model)
