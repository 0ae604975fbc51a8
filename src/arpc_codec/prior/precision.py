"""float32 that is float32: without autocast, TF32 and bfloat16."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch

if hasattr(torch.backends, "fp32_precision"):
    # Each by itself: the switches above them do not change one that was set. The older ones must not be touched as
    # well, torch refuses a mixture.
    _PLAIN: tuple[Any, ...] = ("ieee",) * 4

    def _backends() -> tuple[Any, ...]:
        backends: Any = torch.backends
        return backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn.matmul, backends.mkldnn.conv

    def _settings() -> tuple[Any, ...]:
        return tuple(backend.fp32_precision for backend in _backends())

    def _set(settings: tuple[Any, ...]) -> None:
        for backend, precision in zip(_backends(), settings, strict=True):
            backend.fp32_precision = precision

else:
    # torch before 2.9
    _PLAIN = ("highest", False)

    def _settings() -> tuple[Any, ...]:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    def _set(settings: tuple[Any, ...]) -> None:
        precision, torch.backends.cudnn.allow_tf32 = settings
        torch.set_float32_matmul_precision(precision)


class _Plain:
    """The switches of the process, plain as long as any thread needs that."""

    def __init__(self) -> None:
        self._lock, self._users, self._before = Lock(), 0, _PLAIN

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                self._before = _settings()
                _set(_PLAIN)
            self._users += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                _set(self._before)


_plain = _Plain()


@contextmanager
def plain_float32(device: torch.device) -> Iterator[None]:
    """No autocast, TF32 or bfloat16 in products of float32; from any number of threads at once.

    While any thread is inside, all of the process computes so.
    """
    with torch.autocast(device.type, enabled=False), _plain:
        yield
