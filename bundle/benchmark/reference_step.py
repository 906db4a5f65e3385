"""The training step of the common CycleGAN implementation, restated in plain PyTorch.

After junyanz/pytorch-CycleGAN-and-pix2pix (Zhu et al. 2017): ``resnet_9blocks`` generators, the ``basic`` 70 x 70
discriminators, instance norm without parameters, least squares, no pool of former images, and an identity weight of
0.5, that is lambda 10 and 5. It knows nothing of this project; the ends of the networks are arguments, because the
paper of this project has sigmoids where the reference has a tanh and a plain score.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import nn

__all__ = ["ReferenceStep", "plain_discriminator", "plain_generator"]


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, kernel_size=3, padding=0),
            nn.InstanceNorm2d(channels),
            nn.ReLU(True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, kernel_size=3, padding=0),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv_block(x)


def plain_generator(
    width: int = 64,
    num_blocks: int = 9,
    end: type[nn.Module] = nn.Sigmoid,
    upsample: str = "transposed",
    num_downsamples: int = 2,
) -> nn.Sequential:
    """The ResNet generator, (B, 1, H, W) to (B, 1, H, W), sides multiples of ``2 ** num_downsamples``.

    ``upsample="resize"`` enlarges by nearest neighbours and a convolution, in place of the transposed convolution.
    """
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(1, width, kernel_size=7, padding=0)]
    layers += [nn.InstanceNorm2d(width), nn.ReLU(True)]
    wider = [width * 2**level for level in range(num_downsamples + 1)]
    for channels in wider[:-1]:
        layers += [nn.Conv2d(channels, 2 * channels, kernel_size=3, stride=2, padding=1)]
        layers += [nn.InstanceNorm2d(2 * channels), nn.ReLU(True)]
    layers += [_Block(wider[-1]) for _ in range(num_blocks)]
    for channels in wider[:0:-1]:
        if upsample == "resize":
            layers += [nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1), nn.Conv2d(channels, channels // 2, 3)]
        else:
            layers += [nn.ConvTranspose2d(channels, channels // 2, 3, stride=2, padding=1, output_padding=1)]
        layers += [nn.InstanceNorm2d(channels // 2), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 1, kernel_size=7, padding=0), end())


def plain_discriminator(width: int = 64, end: type[nn.Module] = nn.Sigmoid) -> nn.Sequential:
    """The 70 x 70 PatchGAN, (B, 1, H, W) to (B, 1, H / 8 - 2, W / 8 - 2)."""
    layers: list[nn.Module] = [nn.Conv2d(1, width, kernel_size=4, stride=2, padding=1), nn.LeakyReLU(0.2, True)]
    for before, after, stride in ((1, 2, 2), (2, 4, 2), (4, 8, 1)):
        layers += [nn.Conv2d(before * width, after * width, kernel_size=4, stride=stride, padding=1)]
        layers += [nn.InstanceNorm2d(after * width), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, kernel_size=4, stride=1, padding=1), end())


class ReferenceStep:
    """One ``optimize_parameters``: both generators are stepped, then both discriminators on the fakes made before.

    Args:
        networks: ``gen_le_to_des``, ``gen_des_to_le``, ``disc_des`` and ``disc_le``, on their device.
        learning_rate, weight_decay: of Adam, betas 0.5 and 0.999; the reference has no decay.
        lambda_cycle, lambda_identity: 10 and 5.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        learning_rate: float = 2e-4,
        weight_decay: float = 0.0,
        lambda_cycle: float = 10.0,
        lambda_identity: float = 5.0,
    ) -> None:
        self.networks = dict(networks)
        self.lambda_cycle, self.lambda_identity = lambda_cycle, lambda_identity
        self.squares, self.absolute = nn.MSELoss(), nn.L1Loss()
        generators, discriminators = (
            itertools.chain(*(networks[name].parameters() for name in names))
            for names in (("gen_le_to_des", "gen_des_to_le"), ("disc_des", "disc_le"))
        )
        self.optimizer_g, self.optimizer_d = (
            torch.optim.Adam(parameters, lr=learning_rate, betas=(0.5, 0.999), weight_decay=weight_decay)
            for parameters in (generators, discriminators)
        )

    def __call__(self, le: torch.Tensor, des: torch.Tensor) -> dict[str, torch.Tensor]:
        """Update the four networks on (B, 1, H, W) images; the losses, weighted as they enter the sums."""
        gen_le_to_des, gen_des_to_le = self.networks["gen_le_to_des"], self.networks["gen_des_to_le"]
        disc_des, disc_le = self.networks["disc_des"], self.networks["disc_le"]
        fake_des = gen_le_to_des(le)
        cycle_le = gen_des_to_le(fake_des)
        fake_le = gen_des_to_le(des)
        cycle_des = gen_le_to_des(fake_le)

        self._set_requires_grad(False)
        self.optimizer_g.zero_grad()
        identity = self.absolute(gen_le_to_des(des), des) + self.absolute(gen_des_to_le(le), le)
        losses = {
            "loss_adversarial_des": self._verdict(disc_des(fake_des), True),
            "loss_adversarial_le": self._verdict(disc_le(fake_le), True),
            "loss_cycle": self.lambda_cycle * (self.absolute(cycle_des, des) + self.absolute(cycle_le, le)),
            "loss_identity": self.lambda_identity * identity,
        }
        losses["loss"] = sum(losses.values(), torch.zeros_like(identity))
        losses["loss"].backward()
        self.optimizer_g.step()

        self._set_requires_grad(True)
        self.optimizer_d.zero_grad()
        for name, disc, real, fake in (("des", disc_des, des, fake_des), ("le", disc_le, le, fake_le)):
            verdict = self._verdict(disc(real), True) + self._verdict(disc(fake.detach()), False)
            losses[f"loss_disc_{name}"] = 0.5 * verdict
            losses[f"loss_disc_{name}"].backward()
        self.optimizer_d.step()
        return {name: loss.detach() for name, loss in losses.items()}

    def _verdict(self, verdict: torch.Tensor, real: bool) -> torch.Tensor:
        return self.squares(verdict, torch.tensor(float(real), device=verdict.device).to(verdict).expand_as(verdict))

    def _set_requires_grad(self, required: bool) -> None:
        for name in ("disc_des", "disc_le"):
            for parameter in self.networks[name].parameters():
                parameter.requires_grad = required
