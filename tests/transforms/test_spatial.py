"""One geometry for LE, DES and SEG: where it pads, what it shrinks, how it moves landmarks."""

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.transforms import Compose
from scipy import ndimage

from bundle.transforms import AlignedAffined, AreaResized, PadToSquared, RandAlignedAffined

KEYS, SEG = ["le", "des"], ["seg"]


class TestPadToSquared:
    @pytest.mark.parametrize(
        ("item", "meta", "columns"),
        [
            ({"laterality": "L"}, "R", slice(0, 3)),
            ({"laterality": "R"}, "L", slice(2, 5)),
            ({}, "L", slice(0, 3)),
            ({"laterality": ""}, "R", slice(2, 5)),
            ({}, "", slice(2, 5)),  # the image below is brighter on its right
        ],
    )
    def test_pads_the_air_side(self, item, meta, columns):
        le = MetaTensor(torch.arange(1.0, 16).reshape(1, 5, 3), meta={"laterality": meta})
        out = PadToSquared(keys=["le"])({**item, "le": le})["le"]
        assert out.shape == (1, 5, 5)
        assert torch.equal(out[..., columns].as_tensor(), le.as_tensor())
        assert out.sum() == le.sum()

    def test_brighter_left_is_a_left_breast(self):
        out = PadToSquared(keys=["le"])({"le": torch.arange(15.0, 0, -1).reshape(1, 5, 3)})["le"]
        assert out[0, 0].tolist() == [15, 14, 13, 0, 0]

    @pytest.mark.parametrize("side", ["L", "R"])
    def test_wide_below(self, side):
        le = torch.rand(1, 3, 5)
        out = PadToSquared(keys=["le"])({"laterality": side, "le": le})["le"]
        assert torch.equal(out[:, :3].as_tensor(), le)
        assert not out[:, 3:].any()

    def test_symmetric(self):
        out = PadToSquared(keys=["le"], method="symmetric")({"laterality": "R", "le": torch.ones(1, 6, 3)})["le"]
        assert out[0, 0].tolist() == [0, 1, 1, 1, 0, 0]

    def test_one_decision_for_all_keys(self):
        le = torch.tensor([[[5.0, 0], [5, 0], [5, 0]]])
        out = PadToSquared(keys=["le", "des", "seg"])({"le": le, "des": le.flip(-1), "seg": le.flip(-1)})
        assert [out[key][0, 0].tolist() for key in ("le", "des", "seg")] == [[5, 0, 0], [0, 5, 0], [0, 5, 0]]

    def test_side_from_whichever_image_tells_it(self):
        le = MetaTensor(torch.tensor([[[0.0, 1], [0, 1], [0, 1]]]), meta={"laterality": ""})
        des = MetaTensor(torch.ones(1, 3, 2), meta={"laterality": "L"})
        assert PadToSquared(keys=KEYS)({"le": le, "des": des})["le"][0, 0].tolist() == [0, 1, 0]

    def test_errors(self):
        with pytest.raises(ValueError, match="Padding method 'left': expected 'air' or 'symmetric'"):
            PadToSquared(keys=["le"], method="left")
        with pytest.raises(ValueError, match="Laterality 'B': expected 'L' or 'R'"):
            PadToSquared(keys=["le"])({"laterality": "B", "le": torch.ones(1, 3, 2)})
        with pytest.raises(ValueError, match=r"images of P1 differ in shape, .*'des': \(3, 4\).*expected one grid"):
            PadToSquared(keys=KEYS)({"case_id": "P1", "le": torch.ones(1, 3, 2), "des": torch.ones(1, 3, 4)})


class TestAreaResized:
    def resize(self, seg, size):
        return AreaResized(keys=(), seg_keys=SEG, size=size)({"seg": torch.from_numpy(np.float32(seg))[None]})["seg"]

    def test_golden_values(self):
        le = torch.tensor([[[0.0, 2, 1, 1], [4, 6, 1, 1], [0, 0, 8, 8], [0, 0, 8, 8]]])
        assert AreaResized(keys=["le"], size=2)({"le": le})["le"].tolist() == [[[3, 1], [0, 8]]]
        # a half-covered pixel is lesion, a quarter beside it is not lost with it, a lone quarter is kept
        seg = [[1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
        assert self.resize(seg, 2).tolist() == [[[1, 0], [0, 1]]]

    def test_best_covered_pixel_is_kept(self):
        seg = np.zeros((40, 40))
        seg[9:11, 5:8] = 1  # 2 rows x 3 columns across pixels (0, 0) and (1, 0): a tie, the first wins
        seg[30:32, 28:31] = 1  # (3, 2) covers 4 of its pixels, (3, 3) 2
        small = self.resize(seg, 4)[0]
        assert small.nonzero().tolist() == [[0, 0], [3, 2]]

    def test_lesion_that_shares_a_pixel_gets_no_second_one(self):
        seg = np.zeros((20, 20))
        seg[:6, :9] = 1  # over half of pixel (0, 0)
        seg[8, 9:13] = 1  # another lesion: a little of (0, 0), more of (0, 1), no half of either
        assert self.resize(seg, 2)[0].tolist() == [[1, 0], [0, 0]]

    @pytest.mark.parametrize(("shape", "size"), [((61, 61), 16), ((40, 40), 40), ((100, 100), 9), ((12, 12), 20)])
    def test_always_binary_and_no_lesion_lost(self, shape, size):
        rng = np.random.default_rng(0)
        edges = [(i * shape[0] // size, -(-(i + 1) * shape[0] // size)) for i in range(size)]
        for density in (0.002, 0.02, 0.2):
            seg = rng.random(shape) < density
            small = self.resize(seg, size)[0].numpy()
            assert set(np.unique(small)) <= {0, 1}
            cover = np.array([[seg[a:b, c:d].mean() for c, d in edges] for a, b in edges])
            assert (small[cover >= 0.5] == 1).all()
            assert (small[cover == 0] == 0).all()
            labels, count = ndimage.label(seg, np.ones((3, 3)))
            kept = {k for (i, j) in np.argwhere(small) for k in np.unique(labels[slice(*edges[i]), slice(*edges[j])])}
            assert kept - {0} == set(range(1, count + 1))

    def test_empty_map_stays_empty(self):
        assert not self.resize(np.zeros((30, 30)), 7).any()


def landmarks(size=96, place=(60 / 96, 35 / 96)):
    """A small Gaussian in LE and DES, a disc in SEG, about one point (row, column), a fraction of the size."""
    rows, columns = np.mgrid[:size, :size]
    square = (rows - place[0] * size) ** 2 + (columns - place[1] * size) ** 2
    blob = torch.from_numpy(np.exp(-square / 18)).float()[None]
    return {"le": blob, "des": MetaTensor(blob * 0.5), "seg": torch.from_numpy(square <= 25).float()[None]}


def centroid(image):
    plane = torch.as_tensor(image)[0]
    along = [plane.sum(1 - axis) @ torch.arange(float(plane.shape[axis])) for axis in (0, 1)]
    return np.array([float(moment / plane.sum()) for moment in along])


def expected_position(draw, size=96, place=(60 / 96, 35 / 96)):
    """Where the landmark goes, worked out with complex numbers: right is real, up is imaginary."""
    middle = (size - 1) / 2
    point = complex(place[1] * size - middle, middle - place[0] * size)
    point = -point.conjugate() if draw.flip else point
    point *= draw.zoom * np.exp(1j * np.deg2rad(draw.angle))
    return middle - point.imag + draw.shift[0] * size, middle + point.real + draw.shift[1] * size


@pytest.fixture
def one_thread():
    """As in the worker of a data loader; small images are slower with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class TestAlignedAffined:
    @pytest.mark.parametrize(
        ("change", "moved"),
        [
            ({"shift": (0.1, -0.1)}, (9, 4)),  # a tenth of 20 px: 2 down, 2 to the left
            ({"flip": True}, (7, 13)),
            ({"angle": 90}, (13, 7)),
            ({"flip": True, "angle": 90}, (6, 7)),
            ({"zoom": 2.0}, (4.5, 2.5)),
            ({"zoom": 2.0, "flip": True, "angle": -90, "shift": (-0.1, 0.0)}, (14.5, 14.5)),
        ],
    )
    def test_golden_positions(self, change, moved):
        """One bright pixel at row 7, column 6 of 20 x 20, the centre at 9.5: 2.5 above and 3.5 left of it."""
        le = torch.zeros(1, 20, 20)
        le[0, 7, 6] = 1
        out = AlignedAffined(keys=["le"], seg_keys=["seg"], **change)({"le": le, "seg": le})
        for key in ("le", "seg"):
            assert centroid(out[key]) == pytest.approx(moved, abs=1e-3), key

    def test_flip_and_identity_are_exact(self):
        item = landmarks()
        same = AlignedAffined(KEYS, SEG)(item)
        flipped = AlignedAffined(KEYS, SEG, flip=True)(item)
        for key in item:
            assert torch.equal(torch.as_tensor(same[key]), torch.as_tensor(item[key]))
            assert torch.equal(torch.as_tensor(flipped[key]), torch.as_tensor(item[key]).flip(-1))
            assert type(flipped[key]) is type(item[key])

    def test_outside_is_zero(self):
        out = AlignedAffined(KEYS, shift=(0.25, 0.0))({"le": torch.ones(1, 8, 8), "des": torch.ones(1, 8, 8)})
        assert out["le"][0, :, 3].tolist() == [0, 0, 1, 1, 1, 1, 1, 1]

    def test_oblong_image_turns_without_shear(self):
        image = torch.zeros(1, 31, 61)
        image[0, 15, 40] = 1  # 10 px right of the centre goes 10 px up
        out = AlignedAffined(["le"], ["seg"], angle=90)({"le": image, "seg": image})
        assert np.allclose(centroid(out["le"]), (5, 30), atol=1e-3)
        assert centroid(out["seg"]).tolist() == [5, 30]

    def test_metadata_and_missing_keys(self):
        le = MetaTensor(torch.rand(1, 8, 8), meta={"laterality": "L"})
        transform = AlignedAffined(KEYS, SEG, angle=5, allow_missing_keys=True)
        assert transform({"le": le})["le"].meta["laterality"] == "L"
        assert transform({"case_id": "P1"}) == {"case_id": "P1"}
        with pytest.raises(KeyError):
            AlignedAffined(KEYS, SEG)({"le": le})

    def test_errors(self):
        with pytest.raises(ValueError, match="Zoom 0: expected a factor above 0"):
            AlignedAffined(KEYS, zoom=0)
        with pytest.raises(ValueError, match="differ in shape"):
            AlignedAffined(KEYS)({"le": torch.ones(1, 3, 3), "des": torch.ones(1, 3, 4)})


class TestRandAlignedAffined:
    def test_landmarks_stay_together_through_1000_draws(self, one_thread):
        item = landmarks()
        augment = RandAlignedAffined(KEYS, SEG)
        augment.set_random_state(seed=3)
        apart = np.zeros(1000)
        for i in range(1000):
            out = augment(item)
            le, des, seg = (centroid(out[key]) for key in ("le", "des", "seg"))
            expected = np.array(expected_position(augment.draw))
            apart[i] = max(np.abs(a - b).max() for a, b in [(le, des), (le, seg), (des, seg), (le, expected)])
            assert set(torch.unique(out["seg"]).tolist()) == {0, 1}
        assert apart.max() < 0.5  # what the nearest pixel may cost the map at most

    def test_chances_and_ranges_are_those_of_the_method(self):
        augment = RandAlignedAffined(KEYS, SEG)
        augment.set_random_state(seed=0)
        draws = []
        for _ in range(20000):
            augment.randomize()
            draws.append(augment.draw)
        shift = np.array([draw.shift for draw in draws])
        zoom = np.array([draw.zoom for draw in draws]) - 1
        angle = np.array([draw.angle for draw in draws])
        fired = np.array([shift.any(1), zoom != 0, [draw.flip for draw in draws], angle != 0]).astype(float)
        assert np.allclose(fired.mean(1), 0.3, atol=0.013)  # four standard errors
        assert np.allclose(np.corrcoef(fired), np.eye(4), atol=0.03)
        for values, limit in [(shift[:, 0], 0.1), (shift[:, 1], 0.1), (zoom, 0.1), (angle, 15)]:
            values = values[values != 0]
            assert limit * 0.99 < np.abs(values).max() <= limit
            assert abs(values.mean()) < 0.04 * limit
            assert values.std() == pytest.approx(limit / np.sqrt(3), rel=0.03)
        assert abs(np.corrcoef(shift[shift.any(1)].T)[0, 1]) < 0.06

    def test_state_is_consumed_alike_whatever_fires(self):
        ends = []
        for prob in (0.0, 0.3, 1.0):
            augment = RandAlignedAffined(KEYS, SEG, prob=prob)
            augment.set_random_state(seed=5)
            for _ in range(5):
                augment(landmarks(16))
            ends.append(augment.R.random_sample())
        assert ends[0] == ends[1] == ends[2]

    def test_twin_repeats_the_draw(self):
        augment = RandAlignedAffined(KEYS, SEG, prob=1.0)
        augment.set_random_state(seed=1)
        out = augment(landmarks(32))
        draw = augment.draw
        twin = AlignedAffined(KEYS, SEG, draw.shift, draw.zoom, draw.flip, draw.angle)(landmarks(32))
        assert all(torch.equal(torch.as_tensor(out[key]), torch.as_tensor(twin[key])) for key in out)
        assert draw.flip
        assert draw.angle != 0

    def test_prob_0_changes_nothing(self):
        item = landmarks(16)
        out = RandAlignedAffined(KEYS, SEG, prob=0.0)(item)
        assert all(out[key] is item[key] for key in item)

    def test_seeded_through_compose(self):
        chains = [Compose([RandAlignedAffined(KEYS, SEG, prob=1.0)]) for _ in range(2)]
        outs = [chain.set_random_state(seed=9)(landmarks(16))["le"] for chain in chains]
        assert torch.equal(outs[0], outs[1])
        assert not torch.equal(outs[0], chains[0](landmarks(16))["le"])

    @pytest.mark.forks
    @pytest.mark.parametrize("workers", [0, 2])
    def test_seeded_through_a_data_loader(self, workers):
        def epoch():
            torch.manual_seed(4)
            items = [{"le": torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0))} for _ in range(6)]
            data = Dataset(items, RandAlignedAffined(["le"], prob=1.0))
            return torch.cat([batch["le"] for batch in DataLoader(data, batch_size=2, num_workers=workers)])

        first, again = epoch(), epoch()
        assert torch.equal(first, again)
        assert all(not torch.equal(first[i], first[j]) for i in range(6) for j in range(i))

    def test_errors(self):
        with pytest.raises(ValueError, match=r"Chance of each change 1\.2: expected a number in \[0, 1\]"):
            RandAlignedAffined(KEYS, prob=1.2)
        with pytest.raises(ValueError, match=r"max_zoom 1\.0.*zoom range below 1"):
            RandAlignedAffined(KEYS, max_zoom=1.0)
