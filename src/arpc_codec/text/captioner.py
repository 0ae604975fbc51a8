"""Pictures -> captions, by a BLIP."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from arpc_codec.text.pretrained import load_pretrained

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Short captions, the likeliest of a few: the rate counts them, and the same picture gets the same words.
MOST_WORDS = 20
_MOST_TOKENS, _BEAMS = 30, 3


@dataclass(frozen=True)
class Captioner:
    """BLIP with its processor of pictures and words."""

    network: Any
    processor: Any

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Captioner:
        """Load a local folder (config.json, processor, tokenizer, safetensors) in float32.

        Raises ModelError when transformers or the folder is missing, or when it is not a whole BLIP in safetensors.
        """
        return cls(*load_pretrained(folder, "blip", "BlipForConditionalGeneration", "BlipProcessor", device))

    @torch.inference_mode()
    def caption(self, pixels_hwc: NDArray[np.uint8]) -> str:
        """One caption of at most 20 words for an sRGB picture [H, W, 3]; nothing is drawn at random."""
        inputs = self.processor(images=[Image.fromarray(pixels_hwc)], return_tensors="pt").to(self.network.device)
        tokens = self.network.generate(
            pixel_values=inputs["pixel_values"], do_sample=False, num_beams=_BEAMS, max_new_tokens=_MOST_TOKENS
        )
        words = self.processor.decode(tokens[0], skip_special_tokens=True).split()
        return " ".join(words[:MOST_WORDS])
