"""The folder of a run: which run it is and how far it came (state.json), and its log (log.jsonl)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from arpc_codec.errors import ModelError
from arpc_codec.files import make_folder, write_file
from arpc_codec.train import ranks
from arpc_codec.warned import warn

STATE, LOG = "state.json", "log.jsonl"
ADVERSARY = "adversary.safetensors"


class State(NamedTuple):
    """How far a run had come at its last checkpoint."""

    step: int
    spent_seconds: float
    ema_updates: int


def begin(folder: Path, command: str, sizes: Mapping[str, Any], adversary: bool = False) -> bool:
    """Whether the run of `arpc train COMMAND` in `folder` goes on from a checkpoint; otherwise it begins.

    sizes: of what is trained. adversary: whether discriminators are trained, too. Raises ModelError when `folder` has
    another run, or when its state is damaged.
    """
    sizes = json.loads(json.dumps(sizes))
    if reached(folder) is None:
        if ranks.leads():
            make_folder(folder)
            _write(folder, {"command": command, "sizes": sizes})
        return False
    # Runs of older versions do not say what they are; their weights tell.
    known = _read(folder)
    if known.get("command", command) != command:
        raise ModelError(f"{folder} has a run of `arpc train {known['command']}`: choose another --out")
    for name, size in known.get("sizes", {}).items():
        if sizes.get(name, size) != size:
            raise ModelError(
                f"{folder} has a run whose {name} is {size}, not {sizes[name]}: choose another --out, or what it had"
            )
    if (folder / ADVERSARY).is_file() and not adversary:
        raise ModelError(f"{folder} has a run with discriminators: give it an --adversary, or choose another --out")
    return True


def reached(folder: Path) -> State | None:
    """How far a run has come, None without a checkpoint. Raises ModelError when its state is damaged."""
    state = _read(folder)
    if "step" not in state:
        return None
    try:
        return State(int(state["step"]), float(state["spent_seconds"]), int(state["ema_updates"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, error) from error


def save_state(folder: Path, now: State) -> None:
    """Note how far the run has come, beside which one it is."""
    known = _read(folder)
    _write(folder, {name: known[name] for name in ("command", "sizes") if name in known} | now._asdict())


def log_line(folder: Path, values: Mapping[str, float | str]) -> None:
    """Append a line to the log of a run."""
    with (folder / LOG).open("a", encoding="utf-8") as handle:
        handle.write(
            json.dumps({k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in values.items()}) + "\n"
        )


def note(folder: Path, text: str) -> None:
    """What the user should know of a run that begins: a line of its log, and a NoteWarning."""
    if ranks.leads():
        log_line(folder, {"step": 0, "note": text})
        warn([text])


def _read(folder: Path) -> dict[str, Any]:
    if not (folder / STATE).is_file():
        return {}
    try:
        return dict(json.loads((folder / STATE).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(folder, error) from error


def _write(folder: Path, state: Mapping[str, Any]) -> None:
    # Never half of it: other processes may read, and a kill may come.
    write_file(json.dumps(state, indent=1).encode(), folder / STATE, force=True)


def _damaged(folder: Path, error: Exception) -> ModelError:
    return ModelError(f"{folder / STATE} is damaged ({error}): choose another --out, or delete that folder")
