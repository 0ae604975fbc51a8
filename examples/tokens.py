"""Inside the default codec: picture -> latent -> tokens of every scale -> streams, and back, by its own classes.

Names end in their axes: b batch, c channels, h and w rows and columns of pixels or of cells of 16x16 pixels.
"""

import numpy as np
import skimage.data
import torch
from PIL import Image

from arpc_codec.codecs.coded import segment
from arpc_codec.codecs.tokens import Walk, decode_scale, encode_latent
from arpc_codec.entropy import PROBABILITY_BITS
from arpc_codec.metrics.psnr import psnr
from arpc_codec.zoo.bundle import load_bundle

photo_hwc = np.asarray(Image.fromarray(skimage.data.coffee()).resize((192, 128)))
model = load_bundle("tiny")
tokenizer, prior = model.tokenizer, model.prior

with torch.inference_mode():
    # Tokenizer: pixels in [-1, 1] -> a latent, and the sizes of its maps, from one cell to the latent's own.
    x_bchw = torch.from_numpy(photo_hwc.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    h_bchw = tokenizer.encoder(x_bchw)
    schedule = tokenizer.schedule(*h_bchw.shape[-2:])

    # Encoder: each scale codes what the sum of those before still lacks, with the probabilities of the prior.
    walk = Walk(prior, tokenizer.quantizer, schedule, model.fingerprint)
    coded = encode_latent(walk, h_bchw, len(schedule), tokenizer.config.trade)
    streams = [segment(coded[: k + 1], model.fingerprint, schedule) for k in range(len(coded))]
    chances = [scale.values / 2**PROBABILITY_BITS for scale in coded]  # of each coded bit being 1
    ideal = [-np.log2(np.where(scale.bits, p, 1 - p)).sum() / 8 for scale, p in zip(coded, chances, strict=True)]

    # Decoder: the same walk, with the tokens from the streams; the sum so far becomes a picture after any scale.
    sums, qualities = Walk(prior, tokenizer.quantizer, schedule, model.fingerprint), []
    for k, stream in enumerate(streams, 1):
        tokens_hwd = decode_scale(sums, stream)
        assert np.array_equal(tokens_hwd.numpy(), coded[k - 1].tokens_hwd)
        missing = tokenizer.state(len(schedule) - k, filled=False)
        y_bchw = tokenizer.decoder(tokenizer.decoder_input(sums.z.float()), missing)
        y_hwc = ((y_bchw[0].permute(1, 2, 0).clamp(-1, 1) + 1) * 127.5).round().byte().numpy()
        qualities.append(psnr(photo_hwc, y_hwc))
        rows, columns = schedule[k - 1]
        print(
            f"scale {k:2}: {rows:2} x {columns:2} tokens of {tokens_hwd.shape[-1]} bits, {len(stream):4} bytes"
            f" ({ideal[k - 1]:6.1f} by the prior), {qualities[-1]:.2f} dB"
        )
assert qualities[-1] > 25 > qualities[0]
assert torch.equal(walk.z, sums.z)
