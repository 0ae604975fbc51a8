"""Captions -> features, by the encoder half of a T5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from arpc_codec.text.pretrained import load_pretrained

MOST_TOKENS = 512


@dataclass(frozen=True)
class TextEncoder:
    """T5's encoder and its tokenizer; `features` as the published Infinity models were trained with."""

    network: Any
    tokenizer: Any

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> TextEncoder:
        """Load a local folder (config.json, tokenizer, safetensors) in float32.

        Raises ModelError when transformers or the folder is missing, or when it is not a whole T5 in safetensors.
        """
        return cls(*load_pretrained(folder, "t5", "T5EncoderModel", "AutoTokenizer", device))

    @property
    def channels(self) -> int:
        """Features of a token, d_model."""
        return int(self.network.config.d_model)

    @torch.inference_mode()
    def features(self, captions: Sequence[str]) -> list[Tensor]:
        """Last hidden states [len, channels] float32 of each caption: its tokens and the end token, at most 512."""
        tokens = self.tokenizer(
            list(captions), padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt"
        ).to(self.network.device)
        ids_bt, mask_bt = tokens["input_ids"], tokens["attention_mask"]
        hidden_btc = self.network(input_ids=ids_bt, attention_mask=mask_bt).last_hidden_state
        return [hidden_tc[mask_t.bool()] for hidden_tc, mask_t in zip(hidden_btc, mask_bt, strict=True)]
