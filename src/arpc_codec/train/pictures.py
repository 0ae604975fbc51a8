"""What trainers of networks that draw pictures share: crops, losses between pictures, discriminators, validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from arpc_codec.tokenizer import channels_last
from arpc_codec.train.adversary import Adversary
from arpc_codec.train.data import CropMix, CropSampler, Photos
from arpc_codec.train.loop import LoopConfig, Metrics, run
from arpc_codec.train.losses import LossWeights, ReconstructionLoss


@dataclass(frozen=True)
class PictureTraining:
    """adversary: gradient of the discriminators as a share of the other losses', from this share of the minutes on.

    muon: as in `LoopConfig`.
    """

    crops: CropMix = ((192, 192, 6, 0.6), (256, 384, 2, 0.25), (512, 384, 1, 0.15))
    lr: float = 6e-4
    losses: LossWeights = field(default_factory=LossWeights)
    adversary: float = 0.0
    adversary_from: float = 0.1
    muon: tuple[str, ...] = ()


class PictureTrainer:
    """Photographs and losses on the device of a network, which is made channels-last."""

    def __init__(
        self,
        network: nn.Module,
        photos: tuple[Photos, Photos],
        metrics: Path,
        setup: PictureTraining,
        discriminators: Mapping[str, Tensor] | None = None,
    ) -> None:
        """discriminators: state of an `Adversary` to begin with.

        New ones take hundreds of steps to learn to tell, in which a decoder that was trained against others unlearns
        it. Raises ModelError when no photo holds one of the crops.
        """
        self.network, self.setup = network, setup
        device = next(network.parameters()).device
        train, self.held = photos
        self.sampler = CropSampler(train, setup.crops, device)
        self.criterion = ReconstructionLoss(metrics, setup.losses).to(device)
        self.adversary = Adversary(setup.adversary).to(device) if setup.adversary else None
        if self.adversary is not None and discriminators is not None:
            self.adversary.load_state_dict(discriminators)
        for module in (network, self.criterion, self.adversary):
            if module is not None:
                channels_last(module)

    def draw(self, rng: np.random.Generator) -> Tensor:
        """Crops [B, 3, H, W] for a step."""
        return self.sampler.draw(rng)

    def contested(
        self, x_hat: Tensor, x: Tensor, loss: Tensor, last: Tensor, progress: float
    ) -> tuple[Tensor, Metrics]:
        """The loss, which depends on x_hat alone, with what the discriminators say; as `Adversary`."""
        if self.adversary is None or progress < self.setup.adversary_from:
            return loss, {}
        return self.adversary(x_hat, x, loss, last)

    def run(
        self,
        step: Callable[[int, float], tuple[Tensor, Metrics]],
        validate: Callable[[nn.Module, ReconstructionLoss, Photos, Path], Metrics],
        folder: Path,
        minutes: float,
        rates: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Train within `minutes`; returns the averaged weights. As `loop.run`."""
        return run(
            self.network,
            step,
            folder,
            LoopConfig(minutes=minutes, lr=self.setup.lr, muon=self.setup.muon, save_minutes=4.0, ema_half_life=400),
            validate=lambda network: validate(network, self.criterion, self.held, folder),
            rates=rates,
            adversary=self.adversary,
        ).state
