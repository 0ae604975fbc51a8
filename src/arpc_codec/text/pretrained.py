"""Folders as transformers writes them: checked, then loaded without network, remote code or pickle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from arpc_codec.errors import ModelError


def check_folder(folder: Path, model_type: str) -> dict[str, Any]:
    """The folder's config.json; ModelError unless it is of that model type and the weights are safetensors."""
    if not folder.is_dir():
        raise ModelError(f"{folder}: there is no such folder")
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        found = config["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder}: not the folder of a network (no config.json with model_type)") from error
    if found != model_type:
        raise ModelError(f"{folder}: holds a network of type {found}, not {model_type}")
    if not any(folder.glob("*.safetensors")):
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt*"))
        problem = "pickled weights, which are never loaded: convert them to safetensors" if pickled else "no weights"
        raise ModelError(f"{folder}: {problem}")
    return config


def load_pretrained(folder: Path, model_type: str, model: str, processor: str, device: str) -> tuple[Any, Any]:
    """(network in float32 on the device, processor) of these classes of transformers.

    Raises ModelError when transformers is missing or the folder is not a whole one of that type.
    """
    transformers = _transformers()
    check_folder(folder, model_type)
    with _quiet(transformers):
        try:
            network, report = getattr(transformers, model).from_pretrained(
                str(folder), local_files_only=True, use_safetensors=True, output_loading_info=True
            )
            # Said, not left out: without it AutoTokenizer asks on the terminal.
            helper = getattr(transformers, processor).from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
        # Of many kinds: transformers, safetensors and tokenizers have their own.
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(f"{folder}: cannot be loaded: {reason}") from error
    if missing := sorted(report["missing_keys"]):
        raise ModelError(f"{folder}: {len(missing)} weights are missing, {missing[0]} among them")
    # Released networks differ in type, and so does what versions of transformers make of it.
    return network.float().requires_grad_(False).eval().to(device), helper


def _transformers() -> ModuleType:
    try:
        import transformers
    except ImportError as error:
        raise ModelError("transformers is not installed: pip install 'arpc-codec[text]'") from error
    return transformers


@contextmanager
def _quiet(transformers: ModuleType) -> Iterator[None]:
    """No progress bars, and no warnings: that a T5 folder also holds a decoder, for example, is as it should be."""
    logging = transformers.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
