"""`arpc models`: what can be used offline, now; more by import, fewer by remove."""

from __future__ import annotations

import json
from pathlib import Path

import click

from arpc_codec.cli import common, options
from arpc_codec.cli.log import Log, printable
from arpc_codec.zoo import registry

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group(no_args_is_help=False)
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
            line = f"{entry.id:>3}  {entry.name:<14} {entry.codec:<6} {mark}  {entry.licence:<12} {entry.path}"
            click.echo(printable(line))
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

    return common.run_all(names or [entry.name for entry in registry.models()], work, Log())


@models.command("path")
@click.argument("name", metavar="NAME")
def model_path(name: str) -> int:
    """Folder of a model, by name or id; exit 5 when it is missing."""
    click.echo(str(registry.find(name).path))
    return 0


@models.command("remove")
@click.argument("name", metavar="NAME")
def remove_model(name: str) -> int:
    """Delete a model under ARPC_HOME, by name or id; bundled ones stay."""
    entry = registry.remove(name)
    click.echo(f"removed {entry.name}: {entry.path}")
    return 0


@models.command("import")
@click.argument("family", type=click.Choice(["infinity"]))
@click.option(
    "--tokenizer", type=_FILE, required=True, metavar="FILE", help="Published tokenizer, .pth or .safetensors."
)
@click.option("--transformer", type=_FILE, required=True, metavar="FILE", help="Published transformer, the same.")
@click.option("--text", type=_FOLDER, metavar="DIR", help="Folder of the text encoder; the model links to it.")
@click.option("--captioner", type=_FOLDER, metavar="DIR", help="Folder of a BLIP for --caption auto, likewise.")
@click.option(
    "--preset",
    type=click.Choice(["infinity", "arpc"]),
    default="infinity",
    show_default=True,
    help="What no file holds: temperature, group masks, positions.",
)
@click.option("--bf16", is_flag=True, help="Round the transformer's matrices to bfloat16: half the memory.")
@click.option("--id", "model_id", type=click.IntRange(1, 2**32 - 1), help="Registry id (made of the fingerprint).")
@click.option("--name", help="Name for --model (that of DIR).")
@click.option(
    "-o",
    "--output",
    "out",
    type=options.Folder(),
    required=True,
    metavar="DIR",
    help="Model folder to write; found in $ARPC_HOME.",
)
def import_model(
    family: str,
    tokenizer: Path,
    transformer: Path,
    text: Path | None,
    captioner: Path | None,
    preset: str,
    bf16: bool,
    model_id: int | None,
    name: str | None,
    out: Path,
) -> int:
    """Make a model folder of published weights; prints its id, name and fingerprint. Code in a file is never run."""
    from arpc_codec.zoo.importing import import_infinity

    links = {"text": text, "captioner": captioner}
    entry = import_infinity(
        tokenizer, transformer, out, **links, preset=preset, bf16=bf16, model_id=model_id, name=name
    )
    click.echo(f"{entry.id}  {entry.name}  {entry.fingerprint}")
    return 0
