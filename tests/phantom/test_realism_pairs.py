"""Real pairs are read as training reads them; phantoms go the way that the real ones went."""

import numpy as np
import pytest
from PIL import Image

from bundle.data.datalist import write_datalist
from bundle.phantom.realism.pairs import PARTS, _as_published, part_of, phantom_pairs, real_pairs


@pytest.fixture
def datalist(tmp_path):
    """P1 to P4, a malignant pair each; of P5 a benign one, of P6 one that hardly overlaps, of P7 one without a map."""
    image = np.zeros((512, 512), np.uint8)
    image[56:456, 100:300] = 100
    image[200:240, 150:190] = 255
    lesion = np.where(image == 255, 255, 0).astype(np.uint8)
    for name, pixels in (("le", image), ("des", 255 - image), ("seg", lesion)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    cases = [
        {
            "case_id": f"P{number}_L_CC",
            "patient_id": f"P{number}",
            "laterality": "L",
            "view": "CC",
            "le": "le.png",
            "des": "des.png",
            "seg": None if number == 7 else "seg.png",
            "malignant": number != 5,
            "alignment": {"overlap": 0.9 if number == 6 else 0.99},
        }
        for number in range(1, 8)
    ]
    return write_datalist(tmp_path / "datalist.json", name="Test", source="drawn", licence="none", cases=cases)


def test_malignant_pairs_with_a_map_that_overlap_are_read(datalist):
    pairs = real_pairs(datalist, num_workers=1)
    assert [pair.patient_id for pair in pairs] == ["P1", "P2", "P3", "P4"]
    pair = pairs[0]
    assert pair.le.shape == pair.des.shape == pair.lesion.shape == (256, 256)
    assert pair.le.dtype == np.float32
    assert (pair.le.min(), pair.le.max()) == (0.0, 1.0)
    assert pair.lesion.sum() == 20 * 20
    assert pair.breast.sum() == pytest.approx(200 * 100, rel=0.03)


def test_the_parts_are_halves_by_patient(datalist):
    parts = {part: {pair.patient_id for pair in real_pairs(datalist, part, num_workers=1)} for part in PARTS}
    assert parts == {"tune": {"P4"}, "report": {"P1", "P2", "P3"}}  # CRC-32 is the same everywhere and for ever
    share = np.mean([part_of(f"P{number}") == "tune" for number in range(1000)])
    assert share == pytest.approx(0.5, abs=0.05)


def test_errors_of_a_datalist_say_what_to_do(datalist):
    with pytest.raises(ValueError, match=r"part is 'test', expected one of \('tune', 'report'\)"):
        real_pairs(datalist, "test")
    with pytest.raises(
        ValueError, match=r"no malignant pair with a lesion map and an overlap of 1.0 or more.*cdd_cesm"
    ):
        real_pairs(datalist, min_overlap=1.0)


def test_publishing_crops_shrinks_and_centres():
    image = np.zeros((700, 600), np.float32)
    image[50:650, 300:600] = 0.5  # 600 x 300, to be 512 x 256
    published = _as_published(image, (slice(50, 650), slice(300, 600)))
    assert published.shape == (512, 512)
    assert np.abs(published[10:-10, 140:372] - 127.5).max() <= 2
    assert published[:, :112].max() <= 5  # nothing but ripples of the JPEG beside it
    assert published[:, 400:].max() <= 5
    unpacked = _as_published(image, (slice(50, 650), slice(300, 600)), quality=None)
    assert np.array_equal(unpacked > 0, np.pad(np.ones((512, 256), bool), ((0, 0), (128, 128))))


def test_phantoms_fill_the_image_and_have_a_cancer_in_two_views():
    pairs = phantom_pairs(2, seed=3, image_size=256, num_workers=1)
    assert [pair.patient_id for pair in pairs] == ["PH0001", "PH0001"]
    assert [pair.case_id[-2:] for pair in pairs] == ["CC", "LO"]
    for pair in pairs:
        assert pair.le.shape == (256, 256)
        assert pair.lesion.any()
        assert (pair.breast & pair.lesion).sum() > 0.9 * pair.lesion.sum()
        rows, columns = (np.flatnonzero(pair.breast.any(axis=axis)) for axis in (1, 0))
        assert max(np.ptp(rows), np.ptp(columns)) >= 245  # cropped to the breast
        assert abs(columns[0] + columns[-1] - 255) <= 12  # and centred
    again = phantom_pairs(1, seed=3, image_size=256, num_workers=1)[0]
    assert again.le.tobytes() == pairs[0].le.tobytes()
    assert again.des.tobytes() == pairs[0].des.tobytes()


def test_no_phantoms_is_an_error():
    with pytest.raises(ValueError, match="pairs is 0, expected 1 or more"):
        phantom_pairs(0)
