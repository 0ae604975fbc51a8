"""The group of `arpc train`."""

from __future__ import annotations

import os

import click

from arpc_codec.cli.train import arpc, hpac, imported, progic


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
def train() -> None:
    """Train the networks of a model: tokenizer, prior, decoder, in this order, then export.

    With several GPUs or machines: torchrun --nproc-per-node N -m arpc_codec.cli train ..., each process on crops of its
    own. A step is then N times as many crops.
    """
    # Other launchers set WORLD_SIZE, too, but not all that torchrun does.
    if "LOCAL_WORLD_SIZE" in os.environ:
        from arpc_codec.train import ranks

        ranks.join()
