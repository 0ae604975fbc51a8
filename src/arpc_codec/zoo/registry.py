"""Which models are on this machine: the bundled ones and those under ARPC_HOME. Standard library only."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from arpc_codec.errors import ModelError, UsageError, whole_number

CONFIG = "config.json"
# Links in a model folder to those of its text encoder and its captioner.
TEXT, CAPTIONER = "text", "captioner"
BUNDLED = Path(__file__).resolve().parent.parent / "weights"


@dataclass(frozen=True)
class ModelEntry:
    """One model folder: config.json beside its safetensors files."""

    id: int
    name: str
    fingerprint: str
    licence: str
    path: Path
    codec: str = "arpc"

    def of(self, codec: str) -> ModelEntry:
        """Itself, if it is a model of that codec. Raises ModelError otherwise."""
        if self.codec != codec:
            raise ModelError(f"model '{self.name}' belongs to codec {self.codec}, not to {codec}")
        return self


def models() -> list[ModelEntry]:
    """Every model that can be used, bundled ones first; hidden folders and those without a config are passed over."""
    roots = [BUNDLED]
    if os.environ.get("ARPC_HOME"):
        roots.append(Path(os.environ["ARPC_HOME"]))
    found = []
    for root in roots:
        for config in sorted(root.glob(f"[!.]*/{CONFIG}")):
            try:
                found.append(read_entry(config.parent))
            except ModelError:
                continue  # one broken folder must not stop the others
    return found


def find(model: str | int | ModelEntry) -> ModelEntry:
    """The model of that name or registry id; what was found before is itself. Raises ModelError when it is not here."""
    if isinstance(model, ModelEntry):
        return model
    for entry in models():
        if str(model) in (entry.name, str(entry.id)):
            return entry
    raise _missing(model)


def find_or_open(model: str) -> ModelEntry:
    """The model in a folder of that path, or else as `find`."""
    folder = Path(model)
    return read_entry(folder) if (folder / CONFIG).is_file() else find(model)


def _missing(model: str | int) -> ModelError:
    label = f"model id {model}" if str(model).isdecimal() else f"model '{model}'"
    return ModelError(f"{label} is not on this machine (see `arpc models list`)")


def remove(model: str | int) -> ModelEntry:
    """Delete the folder of a model under ARPC_HOME. Raises ModelError when it is not there, UsageError if bundled."""
    there = [entry for entry in models() if str(model) in (entry.name, str(entry.id))]
    own = [entry for entry in there if entry.path.parent.resolve() != BUNDLED]
    if not own:
        if there:
            raise UsageError(f"model '{there[0].name}' is bundled and cannot be removed")
        raise _missing(model)
    path = own[0].path
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path)
    return own[0]


def bundled(name: str) -> Path:
    """Folder of a bundled model, whether or not it is there."""
    return BUNDLED / name


def read_entry(folder: Path) -> ModelEntry:
    """The model in a folder. Raises ModelError when its config.json is missing or malformed."""
    try:
        values = json.loads((folder / CONFIG).read_text("utf-8"))
        entry = ModelEntry(
            whole_number("id", values["id"]),
            str(values["name"]),
            str(values["fingerprint"]),
            str(values["licence"]),
            folder,
            str(values.get("codec", "arpc")),
        )
        if len(bytes.fromhex(entry.fingerprint)) != 32:
            raise ValueError("the fingerprint is not 32 bytes")
        if entry.id < 1:
            raise ValueError("the id is not positive")
    except (OSError, ValueError, KeyError, TypeError, RecursionError, UsageError) as error:
        raise ModelError(f"{folder / CONFIG}: not a model configuration ({error})") from error
    return entry
