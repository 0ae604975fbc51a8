"""Switches of the process: set while they are needed, whoever else needs them, and as before afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from arpc_codec.codecs.verification import another_machine
from arpc_codec.prior.precision import plain_float32

CPU = torch.device("cpu")
NEWER = hasattr(torch.backends, "fp32_precision")


def settings() -> tuple[Any, ...]:
    if not NEWER:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    backends: Any = torch.backends
    parts = (backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn.matmul, backends.mkldnn.conv)
    return tuple(part.fp32_precision for part in parts)


PLAIN = ("ieee",) * 4 if NEWER else ("highest", False)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    backends: Any = torch.backends
    before, precision = settings(), torch.get_float32_matmul_precision()
    whole = backends.fp32_precision if NEWER else None
    yield
    torch.set_float32_matmul_precision(precision)
    if NEWER:
        backends.fp32_precision = whole
        parts = (backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn.matmul, backends.mkldnn.conv)
        for part, value in zip(parts, before, strict=True):
            part.fp32_precision = value


def test_nothing_is_left_of_reduced_precision() -> None:
    torch.set_float32_matmul_precision("medium")
    before = settings()
    assert before != PLAIN
    with plain_float32(CPU):
        assert settings() == PLAIN
    assert settings() == before
    assert torch.get_float32_matmul_precision() == "medium"


@pytest.mark.skipif(not NEWER, reason="torch before 2.9")
def test_with_the_newer_switches() -> None:
    backends: Any = torch.backends
    backends.fp32_precision = backends.cuda.matmul.fp32_precision = "tf32"
    before = settings()
    for _ in range(2):
        with plain_float32(CPU):
            assert settings() == PLAIN
        assert settings() == before
    assert backends.fp32_precision == "tf32"


def test_the_older_switches_agree_inside() -> None:
    """Where they do not, torch raises when one is read."""
    torch.backends.cuda.matmul.allow_tf32 = True
    with plain_float32(CPU):
        assert not torch.backends.cuda.matmul.allow_tf32
        assert torch.get_float32_matmul_precision() == "highest"
    assert torch.backends.cuda.matmul.allow_tf32


def test_threads_that_overlap() -> None:
    """The first to enter is the first to leave: the other one still computes in float32."""
    torch.set_float32_matmul_precision("medium")
    before = settings()
    inside, left = threading.Event(), threading.Event()
    seen: list[tuple[Any, ...]] = []

    def other() -> None:
        with plain_float32(CPU):
            inside.set()
            left.wait(10)
            seen.append(settings())

    thread = threading.Thread(target=other)
    with plain_float32(CPU):
        thread.start()
        assert inside.wait(10)
    left.set()
    thread.join()
    assert seen == [PLAIN]
    assert settings() == before


def test_an_error_inside_restores_too() -> None:
    torch.set_float32_matmul_precision("medium")
    before = settings()
    with pytest.raises(ZeroDivisionError), plain_float32(CPU):
        raise ZeroDivisionError
    assert settings() == before


def test_other_machines_come_one_at_a_time() -> None:
    threads = torch.get_num_threads()
    entered = threading.Event()

    def other() -> None:
        with another_machine():
            entered.set()

    thread = threading.Thread(target=other)
    with another_machine():
        thread.start()
        assert not entered.wait(0.2)
    thread.join()
    assert entered.is_set()
    assert torch.get_num_threads() == threads
    assert torch.backends.mkldnn.enabled
