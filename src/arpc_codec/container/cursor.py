"""A reading position that keeps account of every byte it passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from arpc_codec.container.varint import CutError, decode_varint

Kind = Literal["overhead", "payload", "caption", "metadata"]


@dataclass(frozen=True)
class Field:
    """One run of bytes of a file: where it lies, what it pays for, what it says."""

    name: str
    offset: int
    length: int
    kind: Kind
    meaning: str


class Cursor:
    """Reads forward through `data`; `mark` turns what was read since the last mark into a Field."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0
        self.fields: list[Field] = []
        self._marked = 0

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self.data) - self.offset

    def take(self, size: int) -> bytes:
        """The next `size` bytes; CutError, and nothing read, when fewer remain."""
        if size > self.remaining:
            missing = size - self.remaining
            raise CutError(f"{size} bytes wanted at byte {self.offset}, {self.remaining} there", missing)
        self.offset += size
        return self.data[self.offset - size : self.offset]

    def byte(self) -> int:
        """The next byte; CutError at the end."""
        return self.take(1)[0]

    def varint(self) -> int:
        """The next LEB128 number; CutError or FormatError as `decode_varint`."""
        value, self.offset = decode_varint(self.data, self.offset)
        return value

    def mark(self, name: str, meaning: str, kind: Kind = "overhead") -> None:
        """Record the bytes since the last mark as one field; nothing is recorded for no bytes."""
        if self.offset > self._marked:
            self.fields.append(Field(name, self._marked, self.offset - self._marked, kind, meaning))
            self._marked = self.offset

    def mark_rest(self, name: str, meaning: str, kind: Kind) -> None:
        """Read to the end and record it, with what was read but not marked yet, as one field."""
        self.offset = len(self.data)
        self.mark(name, meaning, kind)
