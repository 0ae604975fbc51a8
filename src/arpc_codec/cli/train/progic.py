"""`arpc train progic`, `progic-decoder`, `progic-prior` and `export-progic`."""

from __future__ import annotations

from typing import Any

import click

from arpc_codec.cli.train import options


@click.command()
@options.config("progic-tiny")
@options.run
@options.metrics
@options.init
@options.device
@options.pace
def progic(**given: Any) -> int:
    """Train a ProGIC network; its weights are OUT/ema.safetensors.

    To go on from trained weights, take a lower learning rate, so that they keep what they know, and a larger batch.
    """
    from arpc_codec.train.runs.progic import run_progic

    run_progic(**given)
    return 0


@click.command()
@options.config("progic-tiny")
@options.run
@options.metrics
@options.progic
@options.device
@options.picture_lr
@options.adversary
def progic_decoder(**given: Any) -> int:
    """Train a ProGIC network's decoder; its files stay as they are.

    --progic may also be a tokenizer's weights: encoder and decoder begin as its own, with codebooks for its latents.
    """
    from arpc_codec.train.runs.progic import run_progic_decoder

    run_progic_decoder(**given)
    return 0


@click.command()
@options.config("progic-tiny")
@options.run
@options.progic
def progic_prior(**given: Any) -> int:
    """Train a prior of the indices of a ProGIC network, which makes its files smaller."""
    from arpc_codec.train.runs.progic import run_progic_prior

    run_progic_prior(**given)
    return 0


@click.command()
@options.config("progic-tiny")
@click.option("--weights", type=options.WEIGHTS, required=True, metavar="FILE", help="Trained ProGIC network.")
@click.option(
    "--prior",
    type=options.WEIGHTS_OR_MODEL,
    default=None,
    metavar="FILE|MODEL",
    help="Trained prior of its indices, or the model that has it.",
)
@options.target
def export_progic(**given: Any) -> int:
    """Make a ProGIC model folder of trained weights; prints its fingerprint."""
    from arpc_codec.train.runs.progic import run_export_progic

    click.echo(run_export_progic(**given))
    return 0
