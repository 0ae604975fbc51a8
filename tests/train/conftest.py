"""Trainers count seconds. Here every look at the clock is a twentieth of one: any machine takes as many steps."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace

import pytest

from arpc_codec.train import loop

SECONDS = 0.05


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(ticks) * SECONDS))
