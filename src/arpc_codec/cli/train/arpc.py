"""`arpc train tokenizer`, `prior`, `decoder` and `export`: the networks of a model of the codec arpc, in this order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from arpc_codec.cli.train import imported, options
from arpc_codec.errors import UsageError


@click.command()
@options.config("tiny")
@options.run
@options.init
@options.device
@options.lr(2e-3, "Learning rate at most.")
@options.batch
def tokenizer(**given: Any) -> int:
    """Train a tokenizer on rate and squared error; its weights are OUT/tokenizer.safetensors."""
    from arpc_codec.train.runs.arpc import run_tokenizer

    run_tokenizer(**given)
    return 0


@click.command()
@options.config("tiny")
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    metavar="DIR|FILE",
    help="Training shards with their index.csv; for a model, captions.jsonl.",
)
@options.length
@click.option(
    "--tokenizer",
    type=options.WEIGHTS_OR_MODEL,
    metavar="FILE|MODEL",
    help="Trained tokenizer; for a model, another than its own.",
)
@click.option(
    "--init",
    type=options.WEIGHTS_OR_MODEL,
    metavar="FILE|MODEL",
    help="Weights to start from, or an imported model to fine-tune.",
)
@click.option(
    "--batch", type=click.IntRange(1), default=8, show_default=True, help="Pictures in a step, for a model only."
)
@options.lr(2e-3, "Learning rate at most, of a new prior; 1e-3 for weights that are good.")
@options.device
@click.pass_context
def prior(
    context: click.Context,
    config: str,
    data: Path,
    out: Path,
    minutes: float,
    tokenizer: str | None,
    init: str | None,
    batch: int,
    lr: float,
    device: str,
) -> int:
    """Train a prior on the tokens of a tokenizer, or fine-tune that of an imported model.

    With a model (name or folder) as --init, network and tokenizer are the model's, and --data is a file of captioned
    pictures, one JSON object a line: {"image": path from the file's folder, "long": caption, "short": caption}.
    --tokenizer may then name another model or a published tokenizer file; if its number of bits a token is another, bit
    embedding and head start anew. `arpc train export-finetuned` makes a model of the result.
    """

    def refuse(option: str, why: str) -> None:
        if context.get_parameter_source(option) is ParameterSource.COMMANDLINE:
            raise UsageError(why)

    if init is not None and not Path(init).is_file():
        refuse("config", "a model has a config of its own: --config does not go with --init MODEL")
        refuse("lr", "--lr is for new priors only")
        imported.finetune(init, data, out, minutes, tokenizer, batch, device)
        return 0
    from arpc_codec.train.runs.arpc import run_prior

    if tokenizer is None:
        raise UsageError("--tokenizer is missing")
    refuse("batch", "--batch is for imported models only")
    weights, start = Path(tokenizer), None if init is None else Path(init)
    run_prior(config, data, weights, out, minutes, start, device, lr)
    return 0


@click.command()
@options.config("tiny")
@options.run
@options.metrics
@options.tokenizer
@click.option("--prior", type=options.WEIGHTS, required=True, metavar="FILE", help="Trained prior.")
@options.device
@options.lr(1e-3, "Learning rate at most; 3e-4 for weights that are good.")
@options.adversary
def decoder(**given: Any) -> int:
    """Train a tokenizer's decoder on sums that lack some scales, as they are or filled by the prior."""
    from arpc_codec.train.runs.arpc import run_decoder

    run_decoder(**given)
    return 0


@click.command()
@options.config("tiny")
@options.tokenizer
@click.option(
    "--prior",
    type=options.WEIGHTS_OR_MODEL,
    required=True,
    metavar="FILE|MODEL",
    help="Trained prior, or the model that has it.",
)
@options.target
def export(**given: Any) -> int:
    """Make a model folder of trained weights; prints its fingerprint."""
    from arpc_codec.train.runs.arpc import run_export

    click.echo(run_export(**given))
    return 0
