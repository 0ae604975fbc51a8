"""The range coder of streams: constriction's, or what stands in for it where it has no wheels, as on ARM with Linux."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from arpc_codec.errors import FormatError

try:
    from constriction.stream.model import Bernoulli, Categorical
    from constriction.stream.queue import RangeDecoder, RangeEncoder
except ImportError:
    from arpc_codec.entropy.portable import Bernoulli, Categorical, RangeDecoder, RangeEncoder

__all__ = ["BERNOULLI", "CATEGORICAL", "RangeEncoder", "guarded", "range_decoder"]

# Without the argument the slow perfect=True applies: it searches for the best rounding, its result is not specified,
# and it prints a warning to stdout.
BERNOULLI: Any = Bernoulli(perfect=False)
CATEGORICAL: Any = Categorical(perfect=False)
_WORD_BYTES = 4


def range_decoder(data: bytes) -> Any:
    """The decoder of a byte string, zeros after its end."""
    words = np.frombuffer(data + bytes(-len(data) % _WORD_BYTES), ">u4")
    return RangeDecoder(words.astype(np.uint32))


def guarded(coder: Any, family: Any, probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """Decodes one int32 for each row of probabilities. Raises FormatError when the bytes are impossible."""
    try:
        decoded: npt.NDArray[np.int32] = coder.decode(family, probabilities)
    except AssertionError as error:
        raise FormatError("the coded bits are damaged") from error
    except BaseException as error:
        # constriction's Rust panics are no subclass of Exception and cannot be imported to be named.
        if type(error).__name__ != "PanicException":
            raise
        raise FormatError("the coded bits are damaged") from error
    return decoded
