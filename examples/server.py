"""One model for many requests: loaded once, shared by threads, a batch at a time."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import skimage.data
from PIL import Image

import arpc_codec

codec = arpc_codec.Codec.load("progic")
names = ("astronaut", "coffee", "chelsea")
photos = [np.asarray(Image.fromarray(getattr(skimage.data, name)()).resize((256, 192))) for name in names]

files = codec.encode_batch(photos, stages=2)
with ThreadPoolExecutor(2) as pool:
    pictures = list(pool.map(codec.decode, files))
for name, data, picture in zip(names, files, pictures, strict=True):
    print(f"{name}: {len(data)} bytes, {picture.width}x{picture.height}")
assert all(picture.size == (256, 192) for picture in pictures)
