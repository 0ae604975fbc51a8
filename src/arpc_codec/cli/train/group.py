"""The group of `arpc train`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from arpc_codec.cli.log import complain
from arpc_codec.cli.train import arpc, hpac, imported, progic
from arpc_codec.errors import NoteWarning


@contextmanager
def _notes() -> Iterator[None]:
    """What trainers give as a NoteWarning is a line on stderr."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, NoteWarning):
                complain(str(message))
            else:
                others(message, category, *where, **more)

        warnings.showwarning = show  # type: ignore[assignment]
        warnings.simplefilter("always", NoteWarning)
        yield


@click.group(
    commands=[
        arpc.tokenizer,
        arpc.prior,
        arpc.decoder,
        arpc.export,
        imported.export_finetuned,
        imported.context_head,
        progic.progic,
        progic.progic_decoder,
        progic.progic_prior,
        progic.export_progic,
        hpac.hpac,
        hpac.export_hpac,
    ],
    no_args_is_help=False,
)
@click.pass_context
def train(context: click.Context) -> None:
    """Train the networks of a model: tokenizer, prior, decoder, in this order, then export.

    With several GPUs or machines: torchrun --nproc-per-node N -m arpc_codec train ..., each process on crops of its
    own. A step is then N times as many crops.
    """
    context.with_resource(_notes())
    # Other launchers set WORLD_SIZE, too, but not all that torchrun does.
    if "LOCAL_WORLD_SIZE" in os.environ:
        from arpc_codec.train import ranks

        ranks.join()
