"""A run goes on as the run it was; another one in its folder is refused in one line, before data are loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from arpc_codec.errors import ModelError
from arpc_codec.train.folder import begin
from arpc_codec.train.loop import LoopConfig, run
from arpc_codec.train.runs import arpc as runs

SIZES = {"channels": 8, "widths": (4, 4)}


def train(folder: Path, model: nn.Module, adversary: nn.Module | None = None, muon: tuple[str, ...] = ()) -> None:
    """Some steps from where the run of the folder is."""
    done = json.loads((folder / "state.json").read_text("utf-8")).get("spent_seconds", 0.0)

    def step(index: int, progress: float):
        x = torch.ones(2, 8)
        loss = model(x).square().mean()
        return loss if adversary is None else loss + adversary(x).square().mean(), {}

    config = LoopConfig(minutes=(done + 0.5) / 60, muon=muon)
    run(model, step, folder, config, adversary=adversary)


def test_a_run_says_what_it_is_and_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "a" / "run"
    assert not begin(out, "decoder", SIZES)
    # Nothing was trained yet: another run may begin there.
    assert not begin(out, "tokenizer", SIZES)
    train(out, nn.Linear(8, 8))
    state = json.loads((out / "state.json").read_text("utf-8"))
    assert (state["command"], state["sizes"]) == ("tokenizer", {"channels": 8, "widths": [4, 4]})
    assert begin(out, "tokenizer", SIZES)
    # A later version may have sizes that this one had not.
    assert begin(out, "tokenizer", SIZES | {"more": 1})
    with pytest.raises(ModelError, match="has a run of `arpc train tokenizer`"):
        begin(out, "decoder", SIZES)
    with pytest.raises(ModelError, match=r"a run whose widths is \[4, 4\], not \[4, 5\]"):
        begin(out, "tokenizer", SIZES | {"widths": (4, 5)})


def test_runs_of_older_versions_go_on(tmp_path: Path) -> None:
    begin(tmp_path, "decoder", SIZES)
    train(tmp_path, nn.Linear(8, 8), nn.Linear(8, 1))
    state = json.loads((tmp_path / "state.json").read_text("utf-8"))
    old = {name: state[name] for name in ("step", "spent_seconds", "ema_updates")} | {"loop": {"minutes": 1.0}}
    (tmp_path / "state.json").write_text(json.dumps(old))
    assert begin(tmp_path, "decoder", SIZES, adversary=True)
    train(tmp_path, nn.Linear(8, 8), nn.Linear(8, 1))
    assert json.loads((tmp_path / "state.json").read_text("utf-8"))["step"] > state["step"]
    # What it was its tensors tell.
    for model, adversary in ((nn.Linear(8, 4), nn.Linear(8, 1)), (nn.Linear(8, 8), nn.Linear(8, 2))):
        with pytest.raises(ModelError, match="of another network, or of other sizes"):
            train(tmp_path, model, adversary)


def test_discriminators_are_not_forgotten(tmp_path: Path) -> None:
    begin(tmp_path, "decoder", SIZES)
    train(tmp_path, nn.Linear(8, 8), nn.Linear(8, 1))
    assert begin(tmp_path, "decoder", SIZES, adversary=True)
    with pytest.raises(ModelError, match="--adversary"):
        begin(tmp_path, "decoder", SIZES)
    with pytest.raises(ModelError, match="damaged, or of another network"):
        train(tmp_path, nn.Linear(8, 8))


def _text(folder: Path) -> None:
    (folder / "state.json").write_text("{")


def _keys(folder: Path) -> None:
    (folder / "state.json").write_text('{"step": 3}')


def _weights(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"")


def _average(folder: Path) -> None:
    save_file({"weight": torch.zeros(8, 8)}, folder / "ema.safetensors")


def _moments(folder: Path) -> None:
    moments = load_file(folder / "optimiser.safetensors")
    save_file({name: value.flatten()[:1] for name, value in moments.items()}, folder / "optimiser.safetensors")


def _missing(folder: Path) -> None:
    (folder / "optimiser.safetensors").unlink()


@pytest.mark.parametrize("damage", [_text, _keys, _weights, _average, _moments, _missing])
def test_a_damaged_checkpoint_is_one_line(damage: Callable[[Path], None], tmp_path: Path) -> None:
    begin(tmp_path, "decoder", SIZES)
    train(tmp_path, nn.Linear(8, 8))
    damage(tmp_path)

    def go_on() -> None:
        begin(tmp_path, "decoder", SIZES)
        run(nn.Linear(8, 8), lambda index, progress: pytest.fail("trained"), tmp_path, LoopConfig(minutes=1))

    with pytest.raises(ModelError, match="damaged") as caught:
        go_on()
    assert "\n" not in str(caught.value)


def test_commands_look_before_they_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "load_photos", lambda data: pytest.fail("read"))
    begin(tmp_path, "decoder", SIZES)
    train(tmp_path, nn.Linear(8, 8))
    with pytest.raises(ModelError, match="arpc train decoder"):
        runs.run_tokenizer("tiny", tmp_path, tmp_path, 1)
