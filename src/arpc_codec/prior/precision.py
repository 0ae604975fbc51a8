"""float32 that is float32: without autocast, TF32 and bfloat16."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch

from arpc_codec.forks import after_fork

_NEWER = hasattr(torch.backends, "fp32_precision")
_ATTRIBUTE, _PLAIN = ("fp32_precision", "ieee") if _NEWER else ("allow_tf32", False)


def _backends() -> tuple[Any, ...]:
    """What has a switch of its own; before torch 2.9 matrix products have only the one of all."""
    backends: Any = torch.backends
    if not _NEWER:
        return (backends.cudnn,)
    return backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn.matmul, backends.mkldnn.conv


class _Plain:
    """The switches of the process, plain as long as any thread needs that."""

    def __init__(self) -> None:
        self._lock, self._users = Lock(), 0
        self._before: tuple[str, list[Any]] = "", []

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                switches = [getattr(backend, _ATTRIBUTE) for backend in _backends()]
                _switch([_PLAIN] * len(switches))
                # Only now: torch raises where it is read while it contradicts the others.
                self._before = torch.get_float32_matmul_precision(), switches
                torch.set_float32_matmul_precision("highest")
            self._users += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._restore()

    def abandon(self) -> None:
        """As if nobody were inside any more."""
        self._lock = Lock()
        if self._users:
            self._users = 0
            self._restore()

    def _restore(self) -> None:
        precision, switches = self._before
        # Sets some of the others, too.
        torch.set_float32_matmul_precision(precision)
        _switch(switches)


def _switch(values: list[Any]) -> None:
    for backend, value in zip(_backends(), values, strict=True):
        setattr(backend, _ATTRIBUTE, value)


_plain = _Plain()


@after_fork
def _renew() -> None:
    # Who needed it is not here any more.
    _plain.abandon()


@contextmanager
def plain_float32(device: torch.device) -> Iterator[None]:
    """No autocast, TF32 or bfloat16 in products of float32; from any number of threads at once.

    While any thread is inside, all of the process computes so.
    """
    with torch.autocast(device.type, enabled=False), _plain:
        yield
