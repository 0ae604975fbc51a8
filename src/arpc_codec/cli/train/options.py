"""Options that the `arpc train` commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from arpc_codec.cli.options import Folder, Number, several
from arpc_codec.errors import UsageError

Option = Callable[[Any], Any]

FOLDER = Folder()
WEIGHTS = click.Path(exists=True, dir_okay=False, path_type=Path)


class _WeightsOrModel(click.ParamType):
    """A file, or the name, id or folder of a model; what can only be a path must be there."""

    name = "file or model"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(value)
        if (path.name != value or path.suffix == ".safetensors") and not path.exists():
            self.fail(f"no such file: {value}", param, ctx)
        return value


WEIGHTS_OR_MODEL = _WeightsOrModel()


def _device(context: click.Context, parameter: click.Parameter, value: str) -> str:
    import torch

    if value == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device on this machine")
    return value


def config(default: str) -> Option:
    """Sizes of the networks."""
    return click.option(
        "--config", default=default, show_default=True, metavar="NAME", help="Bundled config, or a file."
    )


def lr(default: float, text: str) -> Option:
    """The learning rate at most."""
    return click.option("--lr", type=Number(0, 1, min_open=True), default=default, show_default=True, help=text)


def data(text: str) -> Option:
    """What to train on."""
    return click.option("--data", type=FOLDER, required=True, metavar="DIR", help=text)


minutes = click.option(
    "--minutes", type=Number(min=0, min_open=True), required=True, metavar="N", help="Length of the run."
)
length = several(
    click.option(
        "-o", "--out", type=FOLDER, required=True, metavar="DIR", help="Run folder; a stopped run goes on there."
    ),
    minutes,
)
run = several(data("Training shards with their index.csv."), length)
metrics = click.option(
    "--metrics",
    type=FOLDER,
    envvar="ARPC_METRICS",
    required=True,
    metavar="DIR",
    help="Weights of the loss networks (or ARPC_METRICS).",
)
device = click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    callback=_device,
    help="Where to train.",
)
init = click.option("--init", type=WEIGHTS, default=None, metavar="FILE", help="Weights to start from.")
picture_lr = lr(6e-4, "Learning rate at most; 2e-4 for weights that are good.")
batch = click.option(
    "--batch",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="N times as many crops a step.",
)
pace = several(picture_lr, batch)
tokenizer = click.option("--tokenizer", type=WEIGHTS, required=True, metavar="FILE", help="Trained tokenizer.")
progic = click.option(
    "--progic", type=WEIGHTS, required=True, metavar="FILE", help="Weights of a trained ProGIC network."
)
adversary = several(
    click.option(
        "--adversary",
        type=Number(0, 10),
        default=0.0,
        metavar="SHARE",
        help="Also fool networks that tell pictures from photographs: their pull as a share of the other losses'.",
    ),
    click.option(
        "--discriminators",
        type=WEIGHTS,
        default=None,
        metavar="FILE",
        help="Those of a run to go on with: its adversary.safetensors.",
    ),
)
target = several(
    click.option("-o", "--out", type=FOLDER, required=True, metavar="DIR", help="Model folder to write."),
    click.option(
        "--id",
        "model_id",
        type=click.IntRange(1, 2**32 - 1),
        required=True,
        help="Registry id; never reused.",
    ),
    click.option("--name", required=True, help="Name for --model."),
    click.option("--licence", required=True, help="Licence of the weights, shown by `arpc models list`."),
)
derived = several(
    click.option(
        "-o",
        "--out",
        type=FOLDER,
        required=True,
        metavar="DIR",
        help="Model folder to write; found in $ARPC_HOME.",
    ),
    click.option(
        "--id",
        "model_id",
        type=click.IntRange(1, 2**32 - 1),
        help="Registry id (made of the fingerprint).",
    ),
    click.option("--name", help="Name for --model (that of DIR)."),
    click.option("--licence", help="Licence of the weights (that of MODEL)."),
)
