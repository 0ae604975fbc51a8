"""`arpc train`: one command for the three networks."""

from __future__ import annotations

from pathlib import Path

import click

from arpc_codec.errors import UsageError

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("network", type=click.Choice(["tokenizer", "prior", "decoder"]))
@click.option("--config", default="tiny", show_default=True, metavar="NAME", help="Sizes of the network.")
@click.option("--data", type=_FOLDER, required=True, metavar="DIR", help="Training shards with their index.csv.")
@click.option(
    "--metrics", type=_FOLDER, envvar="ARPC_METRICS", metavar="DIR", help="Weights of the loss networks (ARPC_METRICS)."
)
@click.option("--out", type=_FOLDER, required=True, metavar="DIR", help="Run folder; a run that stopped goes on there.")
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), required=True, metavar="N", help="Length of the run."
)
@click.option(
    "--tokenizer",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Trained tokenizer (for prior and decoder).",
)
def train(
    network: str, config: str, data: Path, metrics: Path | None, out: Path, minutes: float, tokenizer: Path | None
) -> int:
    """Train a tokenizer, then a prior on its tokens, then the decoder on filled scales."""
    if network != "prior" and metrics is None:
        raise UsageError(f"train {network} needs --metrics (or ARPC_METRICS)")
    if network != "tokenizer" and tokenizer is None:
        raise UsageError(f"train {network} needs --tokenizer")

    from arpc_codec.train import cli as runs

    run = {"tokenizer": runs.run_tokenizer, "prior": runs.run_prior, "decoder": runs.run_decoder}[network]
    run(config=config, data=data, metrics=metrics, out=out, minutes=minutes, tokenizer=tokenizer)
    return 0
