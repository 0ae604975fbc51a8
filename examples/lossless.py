"""An archive: every sample comes back, or the reader says that it does not."""

import numpy as np
import skimage.data

import arpc_codec
from arpc_codec.errors import FormatError

samples = skimage.data.astronaut()[:96, :128]
archive = arpc_codec.encode(samples, lossless=True)
print(f"{samples.nbytes} bytes of samples in {len(archive)}")
assert np.array_equal(arpc_codec.decode_array(archive), samples)

damaged = bytearray(archive)
damaged[len(damaged) // 2] ^= 1
try:
    arpc_codec.decode_array(bytes(damaged))
except FormatError as error:
    print(f"a changed bit is noticed: {error}")
else:
    raise SystemExit("a changed bit was not noticed")
