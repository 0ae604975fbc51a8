"""One file, many qualities: every prefix of the scales is a picture of its own."""

import numpy as np
import skimage.data
from PIL import Image

import arpc_codec
from arpc_codec.container import truncate
from arpc_codec.metrics.psnr import psnr

photo = Image.fromarray(skimage.data.coffee()).resize((192, 128))
data = arpc_codec.encode(photo)
scales = arpc_codec.info(data).scales_declared

qualities = []
for k in range(1, scales + 1):
    shorter = truncate(data, scales=k)
    picture = arpc_codec.decode(shorter)
    qualities.append(psnr(np.asarray(photo), np.asarray(picture)))
    print(f"k = {k:2}: {len(shorter):5} bytes, {qualities[-1]:.2f} dB")
assert qualities[-1] > qualities[0]

# A download that stops anywhere still gives a picture.
picture = arpc_codec.decode(data[: len(data) // 2], allow_truncated=True)
assert picture.size == photo.size
