"""Where the networks and tables of the metrics lie on disk."""

from __future__ import annotations

import os
from pathlib import Path

from arpc_codec.errors import ModelError

ENVIRONMENT = "ARPC_METRICS"


def weights_file(name: str, where: Path | str | None = None) -> Path:
    """Path of the weights file `name`.

    `where` is the file itself, or the folder that holds it; None means the folder that the
    environment variable ARPC_METRICS names. Raises ModelError when there is no such file.
    """
    chosen = where if where is not None else os.environ.get(ENVIRONMENT)
    if not chosen:
        raise ModelError(f"{name}: no folder given, and {ENVIRONMENT} is not set")
    path = Path(chosen)
    if path.is_dir():
        path = path / name
    if not path.is_file():
        raise ModelError(f"{path}: no such weights file")
    return path
