"""Shares of a joint batch: nothing lost, nothing twice, and the mean of their means is that of the whole."""

from __future__ import annotations

from itertools import chain

import pytest
import torch
from torch.utils.data import DataLoader

from bundle.engines.augmented_batch import AugmentedBatch
from bundle.engines.joint_batches import JointBatches
from bundle.transforms import RandAlignedAffined
from bundle.transforms.batch_affine import BatchAugmentation

SIZES = [(11, 4), (9, 4), (8, 8), (3, 8), (1, 1), (13, 6)]


def shares(num_pairs: int, batch_size: int, world_size: int, seed: int = 7) -> list[JointBatches]:
    return [
        JointBatches(num_pairs, batch_size, rank=rank, world_size=world_size).set_random_state(seed)
        for rank in range(world_size)
    ]


@pytest.mark.parametrize(("num_pairs", "batch_size"), SIZES)
def test_one_process_takes_the_order_of_pytorch(num_pairs, batch_size):
    """Golden: what ``DataLoader(shuffle=True)`` gives after the same seed."""
    torch.manual_seed(7)
    loader = DataLoader(list(range(num_pairs)), batch_size=batch_size, shuffle=True)
    state = torch.get_rng_state()
    expected = [batch.tolist() for batch in loader]
    assert list(shares(num_pairs, batch_size, 1)[0]) == expected
    torch.set_rng_state(state)  # a sampler that nobody seeded draws from PyTorch's generator, as PyTorch's does
    own = DataLoader(list(range(num_pairs)), batch_sampler=JointBatches(num_pairs, batch_size))
    assert [batch.tolist() for batch in own] == expected


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize(("num_pairs", "batch_size"), SIZES)
def test_the_shares_of_a_joint_batch_are_the_joint_batch(num_pairs, batch_size, world_size):
    joint = list(shares(num_pairs, batch_size, 1)[0])
    samplers = shares(num_pairs, batch_size, world_size)
    got = [list(sampler) for sampler in samplers]
    values = torch.rand(num_pairs, dtype=torch.float64)
    for number, batch in enumerate(joint):
        own = [
            got[rank][number] if sampler.weight(number) else []  # a stand-in counts for nothing
            for rank, sampler in enumerate(samplers)
        ]
        assert sorted(chain(*own)) == sorted(batch)
        assert max(map(len, own)) - min(map(len, own)) <= 1
        weighted = [sampler.weight(number) * values[got[rank][number]].mean() for rank, sampler in enumerate(samplers)]
        torch.testing.assert_close(torch.stack(weighted).mean(), values[batch].mean(), rtol=0, atol=1e-15)
        for rank, sampler in enumerate(samplers):
            assert [batch[row] for row in sampler.rows(number)] == got[rank][number]
            assert sampler.joint_size(number) == len(batch)
    assert {len(batches) for batches in got} == {len(joint)} == {len(samplers[0])}


def test_an_order_of_its_own_for_each_seed_and_that_of_the_list_unshuffled():
    sampler = JointBatches(20, 20)
    orders = [next(iter(sampler.set_random_state(seed))) for seed in (1, 2, 1)]
    assert orders[0] == orders[2] != orders[1]
    assert next(iter(JointBatches(20, 20, shuffle=False).set_random_state(1))) == list(range(20))


def test_errors():
    with pytest.raises(ValueError, match="num_pairs is 0 and batch_size 8, expected 1 or more of each"):
        JointBatches(0, 8)
    with pytest.raises(ValueError, match=r"rank is 2 of 2 process\(es\), expected 0 to 1"):
        JointBatches(5, 2, rank=2, world_size=2)


class TestAugmentedBatch:
    @staticmethod
    def prepared(world_size: int, seed: int = 5) -> list[list[dict[str, torch.Tensor]]]:
        """What each process trains on in an epoch of 7 pairs, 4 a joint batch."""
        values = torch.rand(7, 1, 16, 16, generator=torch.Generator().manual_seed(0))
        epochs = []
        for sampler in shares(7, 4, world_size):
            augmentation = BatchAugmentation([RandAlignedAffined(["le", "des"], ["seg"], prob=0.8)])
            prepare = AugmentedBatch(augmentation, sampler if world_size > 1 else None).set_random_state(seed)
            batches = [{"le": values[rows], "des": 1 - values[rows]} for rows in sampler]
            epochs.append([prepare(batch, torch.device("cpu")) for batch in batches])
        return epochs

    @pytest.mark.parametrize("world_size", [2, 3])
    def test_a_pair_looks_alike_whoever_gets_it(self, world_size):
        [alone] = self.prepared(1)
        for rank, epoch in enumerate(self.prepared(world_size)):
            for number, batch in enumerate(epoch):
                rows = shares(7, 4, world_size)[rank].rows(number)
                assert all(torch.equal(batch[key], alone[number][key][rows]) for key in ("le", "des", "seg"))

    def test_an_epoch_begins_anew(self):
        first, again, other = (self.prepared(1, seed)[0] for seed in (5, 5, 6))
        assert all(torch.equal(a["le"], b["le"]) for a, b in zip(first, again, strict=True))
        assert not all(torch.equal(a["le"], b["le"]) for a, b in zip(first, other, strict=True))

    def test_augments_in_float32_and_hands_over_the_asked_precision(self):
        batch = {"le": torch.rand(2, 1, 8, 8), "des": torch.rand(2, 1, 8, 8)}
        results = {}
        for dtype in (torch.float32, torch.float64):
            augmentation = BatchAugmentation([RandAlignedAffined(["le", "des"], ["seg"], prob=1.0)])
            results[dtype] = AugmentedBatch(augmentation).set_random_state(1)(batch, "cpu", dtype=dtype)
        assert {image.dtype for image in results[torch.float64].values()} == {torch.float64}
        assert all(torch.equal(results[torch.float64][key].float(), results[torch.float32][key]) for key in batch)
