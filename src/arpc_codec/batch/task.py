"""What is done with one file: the same for a single file and in every worker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, TypeVar

from arpc_codec.errors import describe

Found = TypeVar("Found")
# Files that a process with a GPU takes at a time.
TOGETHER = 8

# (done, of): how much of one file is done.
Part = Callable[[int, int], None]


@dataclass(frozen=True)
class Made:
    """A finished file, the size of its picture, and what to say about it.

    problem: what is wrong with it although it was made, and then `code` is the exit code. parts: scales or stages of a
    decoded picture.
    """

    data: bytes
    width: int
    height: int
    model: str
    summary: str
    notes: tuple[str, ...] = ()
    code: int = 0
    problem: str = ""
    parts: int = 0


class Failure(NamedTuple):
    """Why there is no result: exit code and one line."""

    code: int
    problem: str


def caught(do: Callable[..., Found], *arguments: Any) -> Found | Failure:
    """The result of a call, or why there is none."""
    try:
        return do(*arguments)
    except Exception as error:
        return Failure(*describe(error))


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

    @property
    def together(self) -> int:
        """How many files a process takes at a time: more than one where networks do several faster."""
        return 1

    def several(self, files: Sequence[bytes]) -> list[Made | Failure]:
        """The results for some files, in their order."""
        return [caught(self, data) for data in files]

    def options(self) -> dict[str, Any]:
        """The options that matter for the result, by name, as JSON has them. May raise ModelError."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.compare}
        lists = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        # Not by equality: 0.0 is a value, and equal to False.
        return {name: value for name, value in lists.items() if not (value is None or value is False or value == "")}


def in_groups(
    items: Sequence[Found | Failure],
    key: Callable[[Found], Hashable],
    alone: Callable[[Found], Made],
    alike: Callable[[list[Found]], list[Made]],
) -> list[Made | Failure]:
    """What becomes of the items of a task, those of one key together; one by one where that fails."""
    made: dict[int, Made | Failure] = {}
    groups: dict[Hashable, dict[int, Found]] = {}
    for index, item in enumerate(items):
        if isinstance(item, Failure):
            made[index] = item
        else:
            groups.setdefault(key(item), {})[index] = item
    for group in groups.values():
        members = list(group.values())
        found = caught(alike, members) if len(members) > 1 else None
        each = found if isinstance(found, list) else [caught(alone, item) for item in members]
        made |= zip(group, each, strict=True)
    return [made[index] for index in range(len(items))]
