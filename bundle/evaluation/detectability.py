"""Two figures of a whole test part: can a detector find the lesions, and do the images look alike to a network.

Neither network is downloaded: the detector is trained here on real DES, the features come from random weights. Both are
made from a seed on the CPU, so that the same images give the same figures.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping

import torch
from monai.losses import DiceCELoss
from monai.metrics import compute_dice
from monai.networks.nets import UNet
from torch import nn

__all__ = ["RandomFeatures", "kernel_distance", "lesion_detector", "lesion_dice"]

PixelMaps = tuple[torch.Tensor, torch.Tensor]


def lesion_detector(
    images: torch.Tensor,
    maps: torch.Tensor,
    steps: int = 400,
    batch_size: int = 8,
    learning_rate: float = 5e-3,
    seed: int = 0,
) -> nn.Module:
    """A small U-Net (MONAI's, 16 to 128 channels) trained to draw lesions in DES.

    Dice and cross-entropy, Adam, mirrored at random both ways; half of each batch, as far as there is the other half,
    are images with a lesion.

    Shapes:
        images: (N, 1, H, W) in [0, 1], H and W multiples of 8; maps: the same shape in {0, 1}; the network returns
        logits of that shape.

    Raises:
        ValueError: when the shapes differ or no map holds a lesion.
    """
    if images.shape != maps.shape or images.ndim != 4:
        raise ValueError(
            f"images {tuple(images.shape)} and maps {tuple(maps.shape)} must be of one shape (N, 1, H, W)."
        )
    has_lesion = maps.flatten(1).any(dim=1)
    if not has_lesion.any():
        raise ValueError(f"none of the {len(maps)} training images has a lesion map: a detector cannot be trained.")
    weights = torch.where(has_lesion, 1 / has_lesion.sum(), 1 / (~has_lesion).sum().clamp(min=1)).double()
    draw = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet(2, 1, 1, channels=(16, 32, 64, 128), strides=(2, 2, 2))
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    loss = DiceCELoss(sigmoid=True, batch=True)
    network.train()
    for _ in range(steps):
        chosen = torch.multinomial(weights, batch_size, replacement=True, generator=draw)
        axes = [axis for axis in (2, 3) if torch.rand((), generator=draw) < 0.5]
        optimizer.zero_grad()
        loss(network(images[chosen].flip(axes)), maps[chosen].float().flip(axes)).backward()
        optimizer.step()
    return network.eval()


def lesion_dice(
    train_real: PixelMaps,
    test_real: PixelMaps,
    test_virtual: Mapping[str, torch.Tensor],
    steps: int = 400,
    batch_size: int = 8,
    learning_rate: float = 5e-3,
    seed: int = 0,
) -> dict[str, torch.Tensor]:
    """Dice of the lesions that a detector trained on real DES draws in the real and in virtual DES of other patients.

    To be read between the Dice of ``real`` and that of the floors: an LE image shows dense masses as well, and the
    detector knows where in a breast lesions tend to lie.

    Shapes:
        train_real, test_real: (images, lesion maps), each (N, 1, H, W), images in [0, 1], maps in {0, 1}.
        test_virtual: model -> (M, 1, H, W) in the order of ``test_real``.
        Returns ``real`` and each model -> (M,), in [0, 1], NaN for an image without a lesion.

    Raises:
        ValueError: when shapes differ, or no training or no test image has a lesion.
    """
    images, maps = test_real
    for name, virtual in {"the maps": maps, **test_virtual}.items():
        if virtual.shape != images.shape:
            raise ValueError(f"{name} {tuple(virtual.shape)} and the test images {tuple(images.shape)} must match.")
    if not maps.any():
        raise ValueError(f"none of the {len(maps)} test images has a lesion map: there is nothing to detect.")
    network = lesion_detector(*train_real, steps=steps, batch_size=batch_size, learning_rate=learning_rate, seed=seed)
    dice = {}
    with torch.no_grad():
        for name, candidates in {"real": images, **test_virtual}.items():
            drawn = torch.cat([network(one[None]) > 0 for one in candidates])
            dice[name] = compute_dice(drawn.float(), maps.float(), ignore_empty=True)[:, 0]
    return dice


class RandomFeatures(nn.Module):
    """Four strided convolutions with random, fixed weights; (B, 1, H, W) -> (B, 4 width), means and deviations.

    Only the 2 width channels of the last layer are read, each value of which sees 31 x 31 pixels. No network was
    trained: the features tell texture and edges of up to that size, not what a radiologist sees. Values compare models
    on the same images, never with the KID of another paper.
    """

    def __init__(self, width: int = 32, seed: int = 0) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        layers: list[nn.Module] = []
        channels = (1, width // 2, width, 2 * width, 2 * width)
        for before, after in itertools.pairwise(channels):
            convolution = nn.utils.skip_init(nn.Conv2d, before, after, 3, stride=2, padding=1, bias=False)
            nn.init.kaiming_normal_(convolution.weight, generator=draw)
            layers += [convolution, nn.ReLU()]
        self.layers = nn.Sequential(*layers).requires_grad_(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.layers(images).flatten(2)
        return torch.cat([found.mean(dim=2), found.std(dim=2, correction=0)], dim=1)


def kernel_distance(
    real: torch.Tensor,
    virtual: torch.Tensor,
    features: nn.Module | None = None,
    subsets: int = 100,
    subset_size: int = 50,
    seed: int = 0,
) -> dict[str, float]:
    """Kernel distance (Binkowski et al. 2018) between real and virtual DES, on features that are *not* Inception's.

    Torchmetrics' KernelInceptionDistance of ``features``, by default :class:`RandomFeatures`, and so named
    ``kid_random_features``. Each feature is standardised over the real images, so that all count about alike. Images
    of one distribution lie around 0, and below it where both are of the same patients.

    Shapes:
        real, virtual: (N, 1, H, W) and (M, 1, H, W) in [0, 1], two images each at least.

    Returns:
        ``kid_random_features``, the mean over random subsets, and ``kid_random_features_sd`` over them; a subset
        has ``subset_size`` images or, where there are fewer, as many as there are, and the SD is then about 0.

    Raises:
        ValueError: for fewer than two images.
    """
    fewest = min(len(real), len(virtual))
    if fewest < 2:
        raise ValueError(f"a kernel distance needs two images of each kind at least, there are {fewest}.")
    from torchmetrics.image.kid import KernelInceptionDistance

    network = RandomFeatures(seed=seed) if features is None else features
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), torch.no_grad():
        warnings.filterwarnings("ignore", message=".*will save all extracted features", category=UserWarning)
        torch.manual_seed(seed)
        found = [torch.cat([network(one[None]) for one in images]) for images in (real, virtual)]
        mean, spread = found[0].mean(dim=0), found[0].std(dim=0, correction=0)
        spread = spread.clamp(min=max(1e-6, 0.1 * float(spread.square().mean().sqrt())))  # a feature may be dead
        distance = KernelInceptionDistance(nn.Identity(), subsets=subsets, subset_size=min(subset_size, fewest))
        for values, is_real in zip(found, (True, False), strict=True):
            distance.update((values - mean) / spread, real=is_real)
        mean, spread = distance.compute()
    return {"kid_random_features": float(mean), "kid_random_features_sd": float(spread)}
