"""`arpc train hpac` and `export-hpac`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from arpc_codec.cli.train import options


@click.command()
@click.option("--group", type=click.Choice(["grey", "colour"]), required=True, help="What the prior sees.")
@options.config("lossless")
@options.data("Folder with train-clean.tar: pictures named C... are for training, V... for validation.")
@options.length
@click.option(
    "--init",
    type=options.WEIGHTS_OR_MODEL,
    default=None,
    metavar="FILE|MODEL",
    help="Weights or a model to start from.",
)
@options.device
def hpac(**given: Any) -> int:
    """Train a lossless prior on photographs that were never compressed with loss."""
    from arpc_codec.train.runs.hpac import run_hpac

    run_hpac(**given)
    return 0


@click.command()
@click.option(
    "--grey",
    type=options.WEIGHTS_OR_MODEL,
    required=True,
    metavar="FILE|MODEL",
    help="Trained prior for grey and alpha, or the model that has it.",
)
@click.option(
    "--colour",
    type=options.WEIGHTS_OR_MODEL,
    required=True,
    metavar="FILE|MODEL",
    help="Trained prior for RGB, or the model that has it.",
)
@options.config("lossless")
@options.target
def export_hpac(grey: str, colour: str, config: str, out: Path, model_id: int, name: str, licence: str) -> int:
    """Make a lossless model folder of trained priors; prints its fingerprint."""
    from arpc_codec.train.runs.hpac import run_export_hpac

    weights = {"grey": grey, "colour": colour}
    click.echo(run_export_hpac(weights, out, model_id, name, licence, config))
    return 0
