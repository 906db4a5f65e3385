"""Eqs 1-7 of arXiv 2505.03018 restated in plain PyTorch, knowing nothing of the engine.

The step is written out as the paper and its authors' published choices give it: least-squares adversarial terms, means
over all pixels, both generators stepped first, the discriminators then on the fakes made before that step.
"""

from __future__ import annotations

import torch


class OraclePool:
    """Zhu et al.'s image buffer, one image at a time."""

    def __init__(self, size, seed):
        self.size, self.kept, self.random = size, [], torch.Generator().manual_seed(seed)

    def query(self, images):
        out = []
        for image in images:
            if self.size == 0:
                out.append(image)
            elif len(self.kept) < self.size:
                self.kept.append(image)
                out.append(image)
            elif float(torch.rand((), generator=self.random)) < 0.5:
                index = int(torch.randint(self.size, (), generator=self.random))
                out.append(self.kept[index])
                self.kept[index] = image
            else:
                out.append(image)
        return torch.stack(out).detach()


def masked_l1(a, b, s, reduction):
    d = s * torch.abs(a - b)
    if reduction == "image":
        return d.sum() / d.numel()
    values = []
    for i in range(len(a)):
        area = s[i].sum()
        values.append(d[i].sum() / area if area > 0 else d[i].sum() * 0)
    return sum(values) / len(values)


def generator_terms(G, F, Dy, Dx, x, y, s, gamma, l1=10.0, l2=5.0, reduction="image"):
    fake_y, fake_x = G(x), F(y)
    terms = {
        "adversarial_des": ((Dy(fake_y) - 1) ** 2).mean(),
        "adversarial_le": ((Dx(fake_x) - 1) ** 2).mean(),
        "cycle": l1 * ((G(fake_x) - y).abs().mean() + (F(fake_y) - x).abs().mean()),
        "identity": l2 * ((G(y) - y).abs().mean() + (F(x) - x).abs().mean()),
    }
    if gamma is not None:
        terms["lesion_cycle"] = (
            l1 * gamma * (masked_l1(G(fake_x), y, s, reduction) + masked_l1(F(fake_y), x, s, reduction))
        )
        terms["lesion_identity"] = l2 * gamma * (masked_l1(G(y), y, s, reduction) + masked_l1(F(x), x, s, reduction))
    return terms, fake_y, fake_x


def step(networks, optimizers, pools, batch, gamma, reduction="image"):
    """One update of all four networks; returns every loss term and the gradients each optimiser saw."""
    G, F = networks["gen_le_to_des"], networks["gen_des_to_le"]
    Dy, Dx = networks["disc_des"], networks["disc_le"]
    x, y, s = batch["le"], batch["des"], batch["seg"]

    terms, fake_y, fake_x = generator_terms(G, F, Dy, Dx, x, y, s, gamma, reduction=reduction)
    total = sum(terms.values())
    parameters = list(G.parameters()) + list(F.parameters())
    generator_gradients = torch.autograd.grad(total, parameters)
    for parameter, gradient in zip(parameters, generator_gradients, strict=True):
        parameter.grad = gradient
    optimizers["generator_optimizer"].step()

    old_y, old_x = pools[0].query(fake_y.detach()), pools[1].query(fake_x.detach())
    loss_y = 0.5 * (((Dy(y) - 1) ** 2).mean() + (Dy(old_y) ** 2).mean())
    loss_x = 0.5 * (((Dx(x) - 1) ** 2).mean() + (Dx(old_x) ** 2).mean())
    parameters = list(Dy.parameters()) + list(Dx.parameters())
    discriminator_gradients = torch.autograd.grad(loss_y + loss_x, parameters)
    for parameter, gradient in zip(parameters, discriminator_gradients, strict=True):
        parameter.grad = gradient
    optimizers["discriminator_optimizer"].step()

    losses = {f"loss_{name}": float(value.detach()) for name, value in terms.items()}
    losses |= {"loss": float(total.detach()), "loss_disc_des": float(loss_y.detach())}
    losses |= {"loss_disc_le": float(loss_x.detach())}
    return losses, generator_gradients, discriminator_gradients
