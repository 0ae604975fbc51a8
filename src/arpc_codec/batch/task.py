"""What is done with one file: the same for a single file and in every worker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

# (done, of): how much of one file is done.
Part = Callable[[int, int], None]


@dataclass(frozen=True)
class Made:
    """A finished file, the size of its picture, and what to say about it.

    problem: what is wrong with it although it was made, and then `code` is the exit code.
    """

    data: bytes
    width: int
    height: int
    model: str
    summary: str
    notes: tuple[str, ...] = ()
    code: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Task(ABC):
    """The bytes of one file -> those of another. Its fields are the options, so it can be sent to other processes.

    Fields that are left out of comparisons change nothing in a file that was made without an error.
    """

    @property
    @abstractmethod
    def suffix(self) -> str:
        """How the names of results end, with the dot."""

    @abstractmethod
    def __call__(self, data: bytes) -> Made:
        """The result for one file. Raises ArpcError when there is none."""

    def options(self) -> dict[str, Any]:
        """The options that matter for the result, by name, as JSON has them. May raise ModelError."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.compare}
        lists = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return {name: value for name, value in lists.items() if value not in (None, "", False)}
