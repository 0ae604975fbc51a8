"""Published weights as the folder that `--metrics` of `arpc train` and `arpc bench` names; any may be left out.

    python loss_networks.py metrics/ --alexnet alexnet-owt-7be5be79.pth --squeezenet squeezenet1_1-b8a52dc0.pth \\
        --lpips lpips/weights/v0.1 --vgg19 vgg19-d01eb7cb.pth --niqe niqe_pris_params.npz

alexnet, squeezenet: torchvision's IMAGENET1K_V1. lpips: the folder of that name in the Python package `lpips`
(richzhang/PerceptualSimilarity). vgg19: the original Caffe weights as jcjohnson/pytorch-vgg has them; torchvision's are
others. niqe: of BasicSR (XPixelGroup/BasicSR, basicsr/metrics).
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file

# LPIPS's mean and spread of pixels in [-1, 1].
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
# Places of VGG-19's first convolutions among torchvision's layers.
VGG19 = {"1_1": 0, "1_2": 2, "2_1": 5, "2_2": 7, "3_1": 10, "3_2": 12, "3_3": 14, "3_4": 16}


def read(path: Path) -> dict[str, torch.Tensor]:
    """Weights by their names; a file that holds code is refused."""
    return torch.load(path, map_location="cpu", weights_only=True)


def lpips(backbone: Path, heads: Path) -> dict[str, torch.Tensor]:
    """The convolutions of a network and the linear heads that were trained on it."""
    weights = {name: tensor for name, tensor in read(backbone).items() if name.startswith("features.")}
    weights |= {name.replace(".model.1.", "."): tensor for name, tensor in read(heads).items()}
    weights["scaling.shift"] = torch.tensor(SHIFT).view(1, 3, 1, 1)
    weights["scaling.scale"] = torch.tensor(SCALE).view(1, 3, 1, 1)
    return {name: tensor.contiguous() for name, tensor in weights.items()}


def vgg19(path: Path) -> dict[str, torch.Tensor]:
    """conv1_1 to conv3_4 in float16."""
    weights = read(path)
    return {
        f"conv{name}.{part}": weights[f"features.{place}.{part}"].half().contiguous()
        for name, place in VGG19.items()
        for part in ("weight", "bias")
    }


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path)
for option in ("alexnet", "squeezenet", "lpips", "vgg19", "niqe"):
    parser.add_argument(f"--{option}", type=Path)
given = parser.parse_args()
if (given.alexnet or given.squeezenet) and not given.lpips:
    parser.error("--alexnet and --squeezenet need the heads of --lpips")

given.folder.mkdir(parents=True, exist_ok=True)
for name, backbone in (("alex", given.alexnet), ("squeeze", given.squeezenet)):
    if backbone:
        save_file(lpips(backbone, given.lpips / f"{name}.pth"), given.folder / f"lpips_{name}_v0.1.safetensors")
if given.vgg19:
    save_file(vgg19(given.vgg19), given.folder / "vgg19_caffe_conv1_conv3_f16.safetensors")
if given.niqe:
    with np.load(given.niqe) as arrays:
        save_arrays(
            {name: np.ascontiguousarray(arrays[name]) for name in arrays.files},
            given.folder / "niqe_pris_params.safetensors",
        )
for path in sorted(given.folder.glob("*.safetensors")):
    print(path)
