"""A photo to bytes and back, in Python."""

import skimage.data
from PIL import Image

import arpc_codec

photo = Image.fromarray(skimage.data.astronaut()).resize((192, 192))
data = arpc_codec.encode(photo, scales=6, caption="an astronaut in front of a flag")
print(f"{photo.width}x{photo.height} pixels in {len(data)} bytes")

picture = arpc_codec.decode(data)
assert picture.size == photo.size

described = arpc_codec.info(data)
print(f"{described.bpp:.4f} bits a pixel, payload {described.payload_bytes} bytes, caption: {described.caption}")
assert sum(field.length for field in described.fields) == len(data)
