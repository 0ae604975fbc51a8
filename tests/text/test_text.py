"""Features against transformers itself, captions, and folders that cannot be used."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import arpc_codec
from arpc_codec.errors import ModelError
from arpc_codec.text import Captioner, TextEncoder, captioner, text_encoder
from arpc_codec.zoo.registry import ModelEntry

TEXTS = ["a red boat", "two men sitting in the water near a blue boat", ""]


def model_folder(folder: Path, **links: Path) -> ModelEntry:
    folder.mkdir()
    for name, target in links.items():
        (folder / name).symlink_to(target, target_is_directory=True)
    return ModelEntry(9, "linked", "00" * 32, "own", folder)


def test_features_are_those_of_the_encoder_alone(transformers, t5: Path) -> None:
    """Batched, padded and cut to length by us; one text at a time and unpadded here."""
    features = TextEncoder.load(t5).features(TEXTS)
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(t5))
    network = transformers.T5EncoderModel.from_pretrained(str(t5)).float().eval()
    for text, found in zip(TEXTS, features, strict=True):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        assert ids[0, -1] == 1, "the end token"
        with torch.no_grad():
            expected = network(input_ids=ids).last_hidden_state[0]
        assert found.dtype == torch.float32
        assert found.shape == (len(text.split()) + 1, 32)
        torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-5)
    assert (features[0][0] - features[1][0]).abs().max() > 1e-3


def test_long_captions_keep_512_tokens(t5: Path) -> None:
    (found,) = TextEncoder.load(t5).features(["dog " * 600])
    assert found.shape == (512, 32)


def test_the_encoder_of_a_model_is_loaded_once_and_when_it_is_needed(
    t5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tests before this one may have loaded the same folder.
    arpc_codec.text._encoder.cache_clear()
    loads: list[Path] = []
    load = TextEncoder.load
    monkeypatch.setattr(TextEncoder, "load", lambda *given: loads.append(given[0]) or load(*given))
    assert text_encoder(model_folder(tmp_path / "plain")) is None
    first, second = (text_encoder(model_folder(tmp_path / name, text=t5)) for name in "ab")
    assert not loads
    assert first is not None
    assert second is not None
    assert torch.equal(first("a red boat"), second("a red boat"))
    assert loads == [t5.resolve()]
    dangling = text_encoder(model_folder(tmp_path / "dangling", text=tmp_path / "gone"))
    assert dangling is not None
    with pytest.raises(ModelError, match="no such folder"):
        dangling("a")


def test_captions_are_those_of_the_network_and_the_same_again(transformers, blip: Path) -> None:
    pixels = [np.random.default_rng(seed).integers(0, 256, (40, 60, 3), np.uint8) // seed for seed in (1, 5)]
    ours = Captioner.load(blip)
    captions = [ours.caption(picture) for picture in pixels]
    processor = transformers.BlipProcessor.from_pretrained(str(blip))
    network = transformers.BlipForConditionalGeneration.from_pretrained(str(blip)).float().eval()
    for picture, caption in zip(pixels, captions, strict=True):
        inputs = processor(images=[picture], return_tensors="pt")
        with torch.no_grad():
            tokens = network.generate(**inputs, do_sample=False, num_beams=3, max_new_tokens=30)
        words = processor.decode(tokens[0], skip_special_tokens=True).split()
        assert caption.split() == words[:20]
        assert 0 < len(caption.split()) <= 20
        assert ours.caption(picture) == caption
    assert captions[0] != captions[1]


def test_what_says_where_a_captioner_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARPC_BLIP", raising=False)
    with pytest.raises(ModelError, match="set ARPC_BLIP"):
        captioner(model_folder(tmp_path / "plain"))


def test_where_the_captioner_comes_from(blip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARPC_BLIP", raising=False)
    linked = captioner(model_folder(tmp_path / "linked", captioner=blip))
    monkeypatch.setenv("ARPC_BLIP", str(blip))
    assert captioner(model_folder(tmp_path / "other")) is linked
    monkeypatch.setenv("ARPC_BLIP", str(tmp_path / "gone"))
    with pytest.raises(ModelError, match="no such folder"):
        captioner(model_folder(tmp_path / "third", captioner=blip))


def test_a_file_with_the_words_of_a_network(blip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARPC_BLIP", str(blip))
    pixels = np.random.default_rng(3).integers(0, 256, (16, 16, 3), np.uint8)
    about = arpc_codec.info(arpc_codec.encode(pixels, scales=1, caption="auto"))
    assert about.caption == Captioner.load(blip).caption(pixels)
    assert 0 < about.caption_bytes < len(about.caption)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match=r"pip install 'arpc-codec\[text\]'"):
        TextEncoder.load(tmp_path)


def test_folders_that_cannot_be_used(t5: Path, blip: Path, broken, tmp_path: Path) -> None:
    def refused(folder: Path, problem: str) -> None:
        with pytest.raises(ModelError, match=problem) as caught:
            TextEncoder.load(folder)
        assert "\n" not in str(caught.value)

    refused(tmp_path / "gone", "no such folder")
    refused(tmp_path, "no config.json")
    refused(blip, "of type blip, not t5")
    with pytest.raises(ModelError, match="of type t5, not blip"):
        Captioner.load(t5)
    refused(broken(d_model=64), "cannot be loaded")
    refused(broken(d_model=32, num_layers=3), "weights are missing, encoder.block.2")
    folder = broken(num_layers=2)
    TextEncoder.load(folder)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    refused(folder, "cannot be loaded")
    weights.unlink()
    refused(folder, "no weights")
    (folder / "pytorch_model.bin").write_bytes(whole)
    refused(folder, "pickled weights")


def test_code_in_a_folder_is_never_run(broken, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    folder = broken(auto_map={"AutoModel": "code.Model", "AutoTokenizer": ["code.T", "code.T"]})
    (folder / "code.py").write_text(f"open({str(ran)!r}, 'w')\nclass Model: pass\nclass T: pass\n")
    assert TextEncoder.load(folder).channels == 32
    assert not ran.exists()


def test_loading_leaves_the_logging_of_transformers_alone(
    transformers, t5: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    capfd.readouterr()
    TextEncoder.load(t5)
    assert capfd.readouterr() == ("", "")
    assert (transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()) == before
