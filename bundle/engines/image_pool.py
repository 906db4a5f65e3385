"""A history of synthetic images for the discriminators (Shrivastava et al. 2017; Zhu et al. 2017 use 50)."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["ImagePool"]


class ImagePool:
    """Hands the discriminator, half of the time, an older synthetic image in place of the newest one.

    Args:
        size: how many images are kept; 0, the paper's choice, hands every image on as it is (detached).
        seed: of the pool's own random generator.

    Raises:
        ValueError: for a negative size.
    """

    def __init__(self, size: int = 0, seed: int = 0) -> None:
        if size < 0:
            raise ValueError(f"the size of an image pool is {size}, expected 0 or more.")
        self.size = size
        self.images: list[torch.Tensor] = []
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Exchange images (B, 1, H, W) with the pool; the result has the same shape and carries no gradient."""
        images = images.detach()
        if self.size == 0:
            return images
        handed_out = []
        for image in images:
            if len(self.images) < self.size:
                self.images.append(image.clone())
                handed_out.append(image)
            elif torch.rand((), generator=self.generator).item() < 0.5:
                place = int(torch.randint(self.size, (), generator=self.generator).item())
                handed_out.append(self.images[place])
                self.images[place] = image.clone()
            else:
                handed_out.append(image)
        return torch.stack(handed_out)

    def state_dict(self) -> dict[str, Any]:
        return {"images": list(self.images), "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if len(state["images"]) > self.size:
            raise ValueError(f"the saved pool holds {len(state['images'])} images, this one takes {self.size}.")
        self.images = list(state["images"])
        self.generator.set_state(state["generator"].cpu())
