"""One order of the cases for all processes: who gets which pairs of a joint batch, and what they weigh."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

__all__ = ["JointBatches"]


class JointBatches(Sampler[list[int]]):
    """Batches of one joint order of the epoch; process r of n takes pairs r, r + n, r + 2n ... of each.

    The last, incomplete batch counts too. A process that is left without a pair there gets the batch's first one as a
    stand-in that weighs nothing, so that all processes take the same steps. Whatever the number of processes, the joint
    batches are those of one process, whose order is that of PyTorch's ``RandomSampler`` after the same seed.

    Args:
        num_pairs: pairs of the training part.
        batch_size: pairs of a joint batch, over all processes.
        shuffle: take another order every epoch; else that of the list.
        rank, world_size: this process among how many.

    Raises:
        ValueError: for no pairs, a batch size below 1, a rank that is none of the processes.
    """

    def __init__(
        self, num_pairs: int, batch_size: int, shuffle: bool = True, rank: int = 0, world_size: int = 1
    ) -> None:
        if num_pairs < 1 or batch_size < 1:
            raise ValueError(f"num_pairs is {num_pairs} and batch_size {batch_size}, expected 1 or more of each.")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank is {rank} of {world_size} process(es), expected 0 to {world_size - 1}.")
        self.num_pairs, self.batch_size, self.shuffle = num_pairs, batch_size, shuffle
        self.rank, self.world_size = rank, world_size
        self._seed: int | None = None

    def set_random_state(self, seed: int) -> JointBatches:
        """Seed the order of the next epoch, with the same number in every process."""
        self._seed = int(seed)
        return self

    def __len__(self) -> int:
        return -(-self.num_pairs // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = self._order()
        for batch in range(len(self)):
            joint = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield [joint[row] for row in self.rows(batch)]

    def joint_size(self, batch: int) -> int:
        """Pairs of a joint batch, counted from 0 in each epoch."""
        return min(self.batch_size, self.num_pairs - batch % len(self) * self.batch_size)

    def rows(self, batch: int) -> list[int]:
        """Places of this process's pairs in the joint batch; that of the stand-in, 0, where it has none."""
        return list(range(self.rank, self.joint_size(batch), self.world_size)) or [0]

    def weight(self, batch: int) -> float:
        """Factor of this process's mean losses, so that the mean over all processes is that of the joint batch."""
        pairs = len(range(self.rank, self.joint_size(batch), self.world_size))
        return pairs * self.world_size / self.joint_size(batch)

    def _order(self) -> list[int]:
        if not self.shuffle:
            return list(range(self.num_pairs))
        seeds = torch.default_generator
        if self._seed is not None:
            seeds = torch.Generator().manual_seed(self._seed)
            torch.empty((), dtype=torch.int64).random_(generator=seeds)  # PyTorch's loader draws one before its sampler
        seed = int(torch.empty((), dtype=torch.int64).random_(generator=seeds))
        return torch.randperm(self.num_pairs, generator=torch.Generator().manual_seed(seed)).tolist()
