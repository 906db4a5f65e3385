"""The terms of the plain CycleGAN objective (Eqs 1-4 of arXiv 2505.03018)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from monai.losses import PatchAdversarialLoss
from torch import nn

from ..keys import BatchKeys, LossTerms, OutputKeys

__all__ = ["CycleGanLoss"]


class CycleGanLoss(nn.Module):
    r"""Adversarial, cycle and identity terms, each weighted as it enters the sum.

    Generators (Eqs 1-4, least squares in place of the logarithms as in the authors' code):

    .. math::
        |D_Y(G(x)) - 1|^2 + |D_X(F(y)) - 1|^2
        + \lambda_1 (|G(F(y)) - y| + |F(G(x)) - x|) + \lambda_2 (|G(y) - y| + |F(x) - x|)

    Discriminators: half of real against 1 plus fake against 0, for each of the two. All are means over the batch.

    Args:
        lambda_cycle: weight of the cycle terms, 10 in the paper.
        lambda_identity: weight of the identity terms, 5 in the paper.

    Raises:
        ValueError: for a negative weight.
    """

    def __init__(self, lambda_cycle: float = 10.0, lambda_identity: float = 5.0) -> None:
        super().__init__()
        if lambda_cycle < 0 or lambda_identity < 0:
            raise ValueError(f"lambda_cycle {lambda_cycle} and lambda_identity {lambda_identity} must be 0 or more.")
        self.lambda_cycle = lambda_cycle
        self.lambda_identity = lambda_identity
        # the discriminators end in their own activation, so none is applied here
        self.adversarial = PatchAdversarialLoss(criterion="least_squares", no_activation_leastsq=True)
        self.absolute = nn.L1Loss()

    def generator_terms(
        self, images: Mapping[str, torch.Tensor], verdict_des: torch.Tensor, verdict_le: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Eq 4 as one scalar a term.

        Shapes:
            images: a batch with its six images (``BatchKeys`` and ``OutputKeys``), each (B, 1, H, W) in [0, 1];
            verdict_des, verdict_le: Dy(G(x)) and Dx(F(y)), (B, 1, H', W').
        """
        le, des = images[BatchKeys.LE], images[BatchKeys.DES]
        cycle = self.absolute(images[OutputKeys.CYCLE_DES], des) + self.absolute(images[OutputKeys.CYCLE_LE], le)
        identity = self.absolute(images[OutputKeys.IDENTITY_DES], des) + self.absolute(
            images[OutputKeys.IDENTITY_LE], le
        )
        return {
            LossTerms.ADVERSARIAL_DES: self.adversarial(verdict_des, target_is_real=True, for_discriminator=False),
            LossTerms.ADVERSARIAL_LE: self.adversarial(verdict_le, target_is_real=True, for_discriminator=False),
            LossTerms.CYCLE: self.lambda_cycle * cycle,
            LossTerms.IDENTITY: self.lambda_identity * identity,
        }

    def discriminator_term(self, verdict_real: torch.Tensor, verdict_fake: torch.Tensor) -> torch.Tensor:
        """Half of |D(real) - 1|^2 + |D(fake)|^2, a scalar; the verdicts are (B, 1, H', W')."""
        real = self.adversarial(verdict_real, target_is_real=True, for_discriminator=True)
        fake = self.adversarial(verdict_fake, target_is_real=False, for_discriminator=True)
        return 0.5 * (real + fake)
