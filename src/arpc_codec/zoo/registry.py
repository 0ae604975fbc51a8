"""Which models are on this machine: the bundled ones and those under ARPC_HOME. Standard library only."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelError

CONFIG = "config.json"
BUNDLED = Path(__file__).resolve().parent.parent / "weights"


@dataclass(frozen=True)
class ModelEntry:
    """One model folder: config.json beside its safetensors files."""

    id: int
    name: str
    fingerprint: str
    licence: str
    path: Path


def models() -> list[ModelEntry]:
    """Every model that can be used, bundled ones first. Raises ModelError for an unreadable config."""
    roots = [BUNDLED]
    if os.environ.get("ARPC_HOME"):
        roots.append(Path(os.environ["ARPC_HOME"]))
    return [_entry(config) for root in roots for config in sorted(root.glob(f"*/{CONFIG}"))]


def find(model: str | int) -> ModelEntry:
    """The model of that name or registry id. Raises ModelError when it is not here."""
    for entry in models():
        if model in (entry.name, entry.id):
            return entry
    label = f"model id {model}" if isinstance(model, int) else f"model '{model}'"
    raise ModelError(f"{label} is not on this machine (see `arpc models list`)")


def bundled(name: str) -> Path:
    """Folder of a bundled model, whether or not it is there."""
    return BUNDLED / name


def _entry(config: Path) -> ModelEntry:
    try:
        values = json.loads(config.read_text())
        return ModelEntry(values["id"], values["name"], values["fingerprint"], values["licence"], config.parent)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{config}: not a model configuration ({error})") from error
