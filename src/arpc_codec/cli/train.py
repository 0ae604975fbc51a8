"""`arpc train`: a tokenizer, then a prior on its tokens, then the decoder on filled scales, then a model folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from arpc_codec.cli import common
from arpc_codec.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from arpc_codec.zoo.registry import ModelEntry

_FOLDER = click.Path(file_okay=False, path_type=Path)
_WEIGHTS = click.Path(exists=True, dir_okay=False, path_type=Path)

_config = click.option("--config", default="tiny", show_default=True, metavar="NAME", help="Bundled config, or a file.")
_minutes = click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), required=True, metavar="N", help="Length of the run."
)
_length = common.options(
    click.option(
        "-o", "--out", type=_FOLDER, required=True, metavar="DIR", help="Run folder; a stopped run goes on there."
    ),
    _minutes,
)
_run_options = common.options(
    click.option("--data", type=_FOLDER, required=True, metavar="DIR", help="Training shards with their index.csv."),
    _length,
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
_progic = click.option(
    "--progic", type=_WEIGHTS, required=True, metavar="FILE", help="Weights of a trained ProGIC network."
)
_adversary = click.option(
    "--adversary",
    type=click.FloatRange(0, 10),
    default=0.0,
    metavar="SHARE",
    help="Also fool networks that tell pictures from photographs: their pull as a share of the other losses'.",
)
_target = common.options(
    click.option("--out", type=_FOLDER, required=True, metavar="DIR", help="Model folder to write."),
    click.option(
        "--id", "model_id", type=click.IntRange(1, 2**32 - 1), required=True, help="Registry id; never reused."
    ),
    click.option("--name", required=True, help="Name for --model."),
    click.option("--licence", required=True, help="Licence of the weights, shown by `arpc models list`."),
)
_new_model = common.options(
    click.option(
        "-o",
        "--out",
        type=click.Path(path_type=Path),
        required=True,
        metavar="DIR",
        help="Model folder to write; found in $ARPC_HOME.",
    ),
    click.option("--id", "model_id", type=click.IntRange(1, 2**32 - 1), help="Registry id (made of the fingerprint)."),
    click.option("--name", help="Name for --model (that of DIR)."),
    click.option("--licence", help="Licence of the weights (that of MODEL)."),
)
_init = click.option("--init", type=_WEIGHTS, default=None, metavar="FILE", help="Weights to start from.")
_lr = click.option(
    "--lr",
    type=click.FloatRange(0, 1, min_open=True),
    default=6e-4,
    show_default=True,
    help="Learning rate at most; 2e-4 for weights that are good.",
)
_pace = common.options(
    _lr,
    click.option(
        "--batch",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        metavar="N",
        help="N times as many crops a step.",
    ),
)
_prior = click.option("--prior", type=_WEIGHTS, required=True, metavar="FILE", help="Trained prior.")


@click.group()
def train() -> None:
    """Train the networks of a model: tokenizer, prior, decoder, in this order, then export.

    With several GPUs or machines: torchrun --nproc-per-node N -m arpc_codec.cli train ..., each process on crops of its
    own. A step is then N times as many crops.
    """
    if "WORLD_SIZE" in os.environ:
        from arpc_codec.train import ranks

        ranks.join()


@train.command()
@_run
@_metrics
@_init
@_device
@_pace
def tokenizer(**options: Any) -> int:
    """Train a tokenizer; its weights are OUT/ema.safetensors. One with codebooks starts from a ProGIC network."""
    from arpc_codec.train.cli import run_tokenizer

    run_tokenizer(**options)
    return 0


@train.command()
@_config
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    metavar="DIR|FILE",
    help="Training shards with their index.csv; for a model, captions.jsonl.",
)
@_length
@click.option("--tokenizer", metavar="FILE|MODEL", help="Trained tokenizer; for a model, another than its own.")
@click.option("--init", metavar="FILE|MODEL", help="Weights to start from, or an imported model to fine-tune.")
@click.option(
    "--batch", type=click.IntRange(1), default=8, show_default=True, help="Pictures in a step, for a model only."
)
@click.option(
    "--lr",
    type=click.FloatRange(0, 1, min_open=True),
    default=2e-3,
    show_default=True,
    help="Learning rate at most, of a new prior; 1e-3 for weights that are good.",
)
@_device
def prior(
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
    given = click.get_current_context().get_parameter_source
    if init is None or Path(init).is_file():
        from arpc_codec.train.cli import run_prior

        if tokenizer is None:
            raise UsageError("--tokenizer is missing")
        if given("batch") is ParameterSource.COMMANDLINE:
            raise UsageError("--batch is for imported models only")
        weights, start = Path(tokenizer), None if init is None else Path(init)
        run_prior(config, data, weights, out, minutes, start, device, lr)
        return 0
    from arpc_codec.train.finetune import finetune
    from arpc_codec.zoo.registry import find_or_open

    if given("config") is ParameterSource.COMMANDLINE:
        raise UsageError("a model has a config of its own: --config does not go with --init MODEL")
    if given("lr") is ParameterSource.COMMANDLINE:
        raise UsageError("--lr is for new priors only")
    model = find_or_open(init)
    encode = _text_encoder(model)
    finetune(model, data, out, minutes, encode, tokenizer=tokenizer, batch=batch, device=device)
    return 0


@train.command()
@click.option("-m", "--model", required=True, metavar="MODEL", help="Imported model that was fine-tuned.")
@click.option("--prior", type=_WEIGHTS, required=True, metavar="FILE", help="Its trained prior, RUN/ema.safetensors.")
@click.option("--tokenizer", metavar="FILE|MODEL", help="The other tokenizer it was trained with.")
@click.option(
    "--temperature",
    type=click.FloatRange(min=0, min_open=True),
    metavar="T",
    help="What coding divides logits by (that of MODEL).",
)
@_new_model
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
    from arpc_codec.zoo.registry import find_or_open

    entry = export_finetuned(
        find_or_open(model),
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


@train.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("-m", "--model", required=True, metavar="MODEL", help="Imported model, by name or folder.")
@_new_model
@_minutes
@_device
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
    from arpc_codec.zoo.registry import find_or_open

    base = find_or_open(model)
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


@train.command()
@_run
@_metrics
@_tokenizer
@_prior
@_device
@_lr
@_adversary
@click.option(
    "--blend", type=_WEIGHTS, default=None, metavar="FILE", help="Start from the mean with a ProGIC network's decoder."
)
@click.option(
    "--discriminators",
    type=_WEIGHTS,
    default=None,
    metavar="FILE",
    help="Those of a run to go on with: its adversary.safetensors.",
)
def decoder(**options: Any) -> int:
    """Fine-tune a tokenizer's decoder on scales that the prior made up."""
    from arpc_codec.train.cli import run_decoder

    run_decoder(**options)
    return 0


@train.command()
@_progic_config
@_run_options
@_metrics
@_init
@_device
@_pace
def progic(**options: Any) -> int:
    """Train a ProGIC network; its weights are OUT/ema.safetensors. --init also takes a tokenizer's weights.

    To go on from trained weights, take a lower learning rate, so that they keep what they know, and a larger batch.
    """
    from arpc_codec.train.cli import run_progic

    run_progic(**options)
    return 0


@train.command()
@_progic_config
@_run_options
@_metrics
@_progic
@click.option(
    "--decoder", type=_WEIGHTS, default=None, metavar="FILE", help="A tokenizer whose decoder to start from instead."
)
@_device
@_lr
@_adversary
def progic_decoder(**options: Any) -> int:
    """Fine-tune a ProGIC network's decoder; its files stay as they are."""
    from arpc_codec.train.cli import run_progic_decoder

    run_progic_decoder(**options)
    return 0


@train.command()
@_progic_config
@_run_options
@_progic
def progic_prior(**options: Any) -> int:
    """Train a prior of the indices of a ProGIC network, which makes its files smaller."""
    from arpc_codec.train.cli import run_progic_prior

    run_progic_prior(**options)
    return 0


@train.command()
@_config
@_tokenizer
@_prior
@_target
def export(**options: Any) -> int:
    """Make a model folder of trained weights; prints its fingerprint."""
    from arpc_codec.train.cli import run_export

    click.echo(run_export(**options))
    return 0


@train.command()
@_progic_config
@click.option("--weights", type=_WEIGHTS, required=True, metavar="FILE", help="Trained ProGIC network.")
@click.option("--prior", type=_WEIGHTS, default=None, metavar="FILE", help="Trained prior of its indices.")
@_target
def export_progic(**options: Any) -> int:
    """Make a ProGIC model folder of trained weights; prints its fingerprint."""
    from arpc_codec.train.cli import run_export_progic

    click.echo(run_export_progic(**options))
    return 0


@train.command()
@click.option("--group", type=click.Choice(["grey", "colour"]), required=True, help="What the prior sees.")
@_run_options
@_init
@_device
def hpac(**options: Any) -> int:
    """Train a lossless prior on clean photographs (train-clean.tar in DIR)."""
    from arpc_codec.train.hpac import run_hpac

    run_hpac(**options)
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
