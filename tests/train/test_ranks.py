"""Training in several processes, started as people start it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

STEPS = 12


def train(out: Path, steps: int) -> list[dict[str, Tensor]]:
    """What each of two processes has at the end."""
    out.mkdir(exist_ok=True)
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [*start, str(Path(__file__).with_name("ranks_worker.py")), str(out), str(steps)]
    done = subprocess.run(words, check=False, timeout=240, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [load_file(out / f"end{rank}.safetensors") for rank in range(2)]


@pytest.mark.thorough
def test_two_processes_are_one_with_the_mean_gradient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    one = importlib.import_module("ranks_worker").train
    # Half of the way, then on from the checkpoint.
    train(tmp_path / "two", STEPS // 2)
    first, second = train(tmp_path / "two", STEPS)
    one(tmp_path / "one", STEPS // 2, together=2)
    alone = one(tmp_path / "one", STEPS, together=2)

    # Each has data of its own, none twice, and they stop together although their clocks disagree.
    seeds = torch.stack([first.pop("seeds"), second.pop("seeds")], 1).flatten()
    assert torch.equal(seeds, alone.pop("seeds"))
    assert len(seeds.unique()) == len(seeds) >= STEPS // 2
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
        if "seen" not in name:
            torch.testing.assert_close(value, alone[name], rtol=1e-4, atol=1e-6, msg=name)
    # One process writes.
    assert (tmp_path / "two" / "validated0").exists()
    assert not (tmp_path / "two" / "validated1").exists()
    logs = [(tmp_path / name / "log.jsonl").read_text("utf-8").splitlines() for name in ("two", "one")]
    steps, alone_steps = ([json.loads(line).get("step") for line in lines] for lines in logs)
    assert steps == alone_steps
    assert torch.equal(load_file(tmp_path / "two" / "weights.safetensors")["always.weight"], first["always.weight"])
