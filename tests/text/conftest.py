"""Tiny random T5 and BLIP folders, tokenizers included, made on the spot."""

import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

WORDS = [*("a", "the", "red", "blue", "dog", "cat", "boat", "man", "on", "in", "of", "water"), "sitting", "near", "two"]


@pytest.fixture(scope="session")
def transformers() -> ModuleType:
    return pytest.importorskip("transformers", reason="transformers is not installed: pip install 'arpc-codec[text]'")


@pytest.fixture(scope="session")
def t5(transformers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole T5 with 32 features; its tokenizer knows WORDS and ends each text with </s>."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("models") / "t5"
    torch.manual_seed(1)
    config = transformers.T5Config(
        vocab_size=40, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
    vocabulary = {word: number for number, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def blip(transformers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BLIP of 32x32 pixels with the words of WORDS."""
    import torch

    folder = tmp_path_factory.mktemp("models") / "blip"
    torch.manual_seed(2)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    layers = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    # Larger weights than usual: otherwise every picture would get the same words.
    layers |= {"initializer_range": 0.3}
    config = transformers.BlipConfig(
        text_config=layers
        | {"vocab_size": len(vocabulary), "encoder_hidden_size": 24, "max_position_embeddings": 64}
        | {"bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0},
        vision_config=layers | {"image_size": 32, "patch_size": 8},
    )
    network = transformers.BlipForConditionalGeneration(config)
    network.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    tokenizer = transformers.BertTokenizerFast.from_pretrained(str(folder), local_files_only=True)
    pictures = transformers.BlipImageProcessor(size={"height": 32, "width": 32})
    transformers.BlipProcessor(pictures, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture
def broken(t5: Path, tmp_path: Path):
    """A copy of the T5 folder, to be changed, and a way to change its config."""
    folder = tmp_path / "broken"
    shutil.copytree(t5, folder)

    def configure(**values: object) -> Path:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values))
        return folder

    return configure
