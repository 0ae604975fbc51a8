"""`arpc models`: what can be used offline, now."""

from __future__ import annotations

import json

import click

from arpc_codec.cli import common
from arpc_codec.zoo import registry


@click.group()
def models() -> None:
    """Models on this machine: the bundled ones and those in the folder ARPC_HOME."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a model.")
def list_models(as_json: bool) -> int:
    """Id, name, codec, fingerprint, licence and folder of every model."""
    for entry in registry.models():
        if as_json:
            plain = {
                "schema": 1,
                "id": entry.id,
                "name": entry.name,
                "codec": entry.codec,
                "fingerprint": entry.fingerprint,
                "licence": entry.licence,
                "path": str(entry.path),
            }
            click.echo(json.dumps(plain))
        else:
            mark = entry.fingerprint[:12]
            click.echo(f"{entry.id:>3}  {entry.name:<12} {entry.codec:<6} {mark}  {entry.licence:<12} {entry.path}")
    return 0


@models.command("check")
@click.argument("names", metavar="[NAME]...", nargs=-1)
def check_models(names: tuple[str, ...]) -> int:
    """Compare the weights of models, or of all, with their fingerprints; exit 5 when one is altered or missing."""

    def work(name: str) -> int:
        from arpc_codec.zoo.checking import check

        check(registry.find(name))
        click.echo(f"{name}: ok")
        return 0

    return common.run_all(names or [entry.name for entry in registry.models()], work, common.Log())


@models.command("path")
@click.argument("name", metavar="NAME")
def model_path(name: str) -> int:
    """Folder of a model, by name or id; exit 5 when it is missing."""
    click.echo(str(registry.find(int(name) if name.isdecimal() else name).path))
    return 0
