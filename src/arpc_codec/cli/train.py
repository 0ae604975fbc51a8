"""`arpc train`: a tokenizer, then a prior on its tokens, then the decoder on filled scales, then a model folder."""

from __future__ import annotations

from pathlib import Path

import click

from arpc_codec.cli import common

_FOLDER = click.Path(file_okay=False, path_type=Path)
_WEIGHTS = click.Path(exists=True, dir_okay=False, path_type=Path)

_config = click.option("--config", default="tiny", show_default=True, metavar="NAME", help="Bundled config, or a file.")
_run_options = common.options(
    click.option("--data", type=_FOLDER, required=True, metavar="DIR", help="Training shards with their index.csv."),
    click.option("--out", type=_FOLDER, required=True, metavar="DIR", help="Run folder; a stopped run goes on there."),
    click.option(
        "--minutes", type=click.FloatRange(min=0, min_open=True), required=True, metavar="N", help="Length of the run."
    ),
)
_run = common.options(_config, _run_options)
_progic_config = click.option(
    "--config", default="progic-tiny", show_default=True, metavar="NAME", help="Bundled config, or a file."
)
_metrics = click.option(
    "--metrics",
    type=_FOLDER,
    envvar="ARPC_METRICS",
    required=True,
    metavar="DIR",
    help="Weights of the loss networks (or ARPC_METRICS).",
)
_tokenizer = click.option("--tokenizer", type=_WEIGHTS, required=True, metavar="FILE", help="Trained tokenizer.")
_device = click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Where to train."
)
_target = common.options(
    click.option("--out", type=_FOLDER, required=True, metavar="DIR", help="Model folder to write."),
    click.option(
        "--id", "model_id", type=click.IntRange(1, 2**32 - 1), required=True, help="Registry id; never reused."
    ),
    click.option("--name", required=True, help="Name for --model."),
    click.option("--licence", required=True, help="Licence of the weights, shown by `arpc models list`."),
)
_init = click.option("--init", type=_WEIGHTS, default=None, metavar="FILE", help="Weights to start from.")
_prior = click.option("--prior", type=_WEIGHTS, required=True, metavar="FILE", help="Trained prior.")


@click.group()
def train() -> None:
    """Train the networks of a model: tokenizer, prior, decoder, in this order, then export."""


@train.command()
@_run
@_metrics
@_init
@_device
def tokenizer(config: str, data: Path, out: Path, minutes: float, metrics: Path, init: Path | None, device: str) -> int:
    """Train a tokenizer; its weights are OUT/ema.safetensors."""
    from arpc_codec.train.cli import run_tokenizer

    run_tokenizer(config=config, data=data, metrics=metrics, out=out, minutes=minutes, init=init, device=device)
    return 0


@train.command()
@_run
@_tokenizer
@_init
@_device
def prior(config: str, data: Path, out: Path, minutes: float, tokenizer: Path, init: Path | None, device: str) -> int:
    """Train a prior on the tokens of a tokenizer."""
    from arpc_codec.train.cli import run_prior

    run_prior(config=config, data=data, tokenizer=tokenizer, out=out, minutes=minutes, init=init, device=device)
    return 0


@train.command()
@_run
@_metrics
@_tokenizer
@_prior
@_device
def decoder(
    config: str, data: Path, out: Path, minutes: float, metrics: Path, tokenizer: Path, prior: Path, device: str
) -> int:
    """Fine-tune a tokenizer's decoder on scales that the prior made up."""
    from arpc_codec.train.cli import run_decoder

    run_decoder(
        config=config,
        data=data,
        metrics=metrics,
        tokenizer=tokenizer,
        prior=prior,
        out=out,
        minutes=minutes,
        device=device,
    )
    return 0


@train.command()
@_progic_config
@_run_options
@_metrics
@_init
@_device
def progic(config: str, data: Path, out: Path, minutes: float, metrics: Path, init: Path | None, device: str) -> int:
    """Train a ProGIC network; its weights are OUT/ema.safetensors. --init also takes a tokenizer's weights."""
    from arpc_codec.train.cli import run_progic

    run_progic(config=config, data=data, metrics=metrics, out=out, minutes=minutes, init=init, device=device)
    return 0


@train.command()
@_progic_config
@_run_options
@click.option("--progic", type=_WEIGHTS, required=True, metavar="FILE", help="Weights of a trained ProGIC network.")
def progic_prior(config: str, data: Path, out: Path, minutes: float, progic: Path) -> int:
    """Train a prior of the indices of a ProGIC network, which makes its files smaller."""
    from arpc_codec.train.cli import run_progic_prior

    run_progic_prior(config=config, data=data, progic=progic, out=out, minutes=minutes)
    return 0


@train.command()
@_config
@_tokenizer
@_prior
@_target
def export(config: str, tokenizer: Path, prior: Path, out: Path, model_id: int, name: str, licence: str) -> int:
    """Make a model folder of trained weights; prints its fingerprint."""
    from arpc_codec.train.cli import run_export

    click.echo(
        run_export(
            config=config, tokenizer=tokenizer, prior=prior, out=out, model_id=model_id, name=name, licence=licence
        )
    )
    return 0


@train.command()
@_progic_config
@click.option("--weights", type=_WEIGHTS, required=True, metavar="FILE", help="Trained ProGIC network.")
@click.option("--prior", type=_WEIGHTS, default=None, metavar="FILE", help="Trained prior of its indices.")
@_target
def export_progic(
    config: str, weights: Path, prior: Path | None, out: Path, model_id: int, name: str, licence: str
) -> int:
    """Make a ProGIC model folder of trained weights; prints its fingerprint."""
    from arpc_codec.train.cli import run_export_progic

    click.echo(
        run_export_progic(
            config=config, weights=weights, prior=prior, out=out, model_id=model_id, name=name, licence=licence
        )
    )
    return 0


@train.command()
@click.option("--group", type=click.Choice(["grey", "colour"]), required=True, help="What the prior sees.")
@_run_options
@_init
@_device
def hpac(group: str, data: Path, out: Path, minutes: float, init: Path | None, device: str) -> int:
    """Train a lossless prior on clean photographs (train-clean.tar in DIR)."""
    from arpc_codec.train.hpac import run_hpac

    run_hpac(group=group, data=data, out=out, minutes=minutes, init=init, device=device)
    return 0


@train.command()
@click.option("--grey", type=_WEIGHTS, required=True, metavar="FILE", help="Trained prior for grey and alpha.")
@click.option("--colour", type=_WEIGHTS, required=True, metavar="FILE", help="Trained prior for RGB.")
@_target
def export_hpac(grey: Path, colour: Path, out: Path, model_id: int, name: str, licence: str) -> int:
    """Make a lossless model folder of trained priors; prints its fingerprint."""
    from arpc_codec.train.hpac import run_export_hpac

    weights = {"grey": grey, "colour": colour}
    click.echo(run_export_hpac(weights, out=out, model_id=model_id, name=name, licence=licence))
    return 0
