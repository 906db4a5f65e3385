"""What becomes of measures: which of them is a finding, of what level, of which cases and with what remedy."""

import numpy as np
import pytest

from bundle.data.audit.case import CaseRecord, ImageRecord
from bundle.data.audit.findings import Limits
from bundle.data.audit.header import Header
from bundle.data.audit.page import choose_cases
from bundle.data.audit.rules import pair_findings


def case(number=1, patient="P1", entry=None, le=None, des=None, **record):
    entry = {"case_id": f"c{number}", "patient_id": patient, "laterality": "L", "view": "CC", **(entry or {})}
    entry = {"le": f"{number}.png", "des": f"{number}_2.png", "seg": "map.png", **entry}
    images = {key: ImageRecord(**{"shape": (8, 8), **(told or {})}) for key, told in (("le", le), ("des", des))}
    return f"c{number}", entry, CaseRecord(images=images, **record)


def findings(*cases):
    return list(pair_findings(cases, Limits(), 256))


def test_a_silhouette_is_an_error_and_saturation_a_warning():
    found = findings(
        case(1, le={"clipped": (0.0, 0.51)}), case(2, le={"clipped": (0.5, 0.0)}), case(3, le={"clipped": (0.1, 0.1)})
    )
    assert [(f.level, f.kind, f.where) for f in found] == [
        ("error", "clipped", (("c1", "le: 51% at the bright end"),)),
        ("warning", "clipped", (("c2", "le: 50% at the dark end"),)),
    ]
    assert found[0].message.endswith("at one end of the grey scale: training would see a silhouette")


def test_pairs_are_counted_not_details():
    both = {"clipped": (0.2, 0.0)}
    [finding] = findings(case(1, le=both, des=both))
    assert finding.message.startswith("1 pair(s) have an image with more than 10%")
    assert len(finding.where) == 2


def mirrored(better, maps, way="top to bottom", gain=0.9):
    return [
        case(number, contrast=1.0, mirrored={way: 1 + gain if number < better else 1 - gain}) for number in range(maps)
    ]


@pytest.mark.parametrize("way", ["left to right", "top to bottom"])
def test_a_study_of_mirrored_maps(way):
    [finding] = findings(*mirrored(5, 8, way))
    assert (finding.level, finding.case_ids) == ("error", ["c0", "c1", "c2", "c3", "c4"])
    assert finding.message == (f"the maps seem mirrored ({way}): 5 of 8 have more contrast in DES once flipped back")
    assert finding.where[0] == ("c0", "contrast 1.00, flipped 1.90")


def test_few_maps_or_few_that_gain_say_nothing():
    assert findings(*mirrored(7, 7)) == []
    assert findings(*mirrored(6, 10)) == []
    outside = [case(number, contrast=1.0, mirrored={"top to bottom": 9.0}, map_problem="lies wrong") for number in "ab"]
    assert {f.kind for f in findings(*outside)} == {"lesion map"}
    loses = [case(9 + number, contrast=9.0, mirrored={"top to bottom": 1.0}) for number in range(4)]
    assert findings(*mirrored(6, 6, gain=0.1), *loses[:3]) == []  # a little more in six, far less in three


def test_of_two_ways_the_likelier_is_told():
    cases = mirrored(8, 8)
    for number, (_, _, record) in enumerate(cases):
        record.mirrored["left to right"] = 1.5 if number < 6 else 0.9
    [finding] = findings(*cases)
    assert "(top to bottom)" in finding.message


def test_a_single_map_that_gains_is_shown():
    cases = [case(1, contrast=0.5, mirrored={"left to right": 1.6}), case(2, contrast=0.5, mirrored={})]
    [finding] = findings(*cases)
    assert (finding.level, finding.where) == ("information", (("c1", "contrast 0.50, flipped left to right 1.60"),))
    assert choose_cases(cases, [finding], shown=0, seed=0)[0] == "Cases with findings"


def looks():
    first, other = np.random.default_rng(0).random((2, 32, 32)).astype(np.float16)
    return first, other


def test_nearly_the_same_image():
    first, other = looks()
    noisy = (first + np.float16(0.12) * (other - np.float16(0.5))).astype(np.float16)  # correlation 0.993
    cases = [
        case(1, "P1", le={"look": first, "hash": "a"}, des={"look": first, "hash": "b"}),
        case(2, "P2", le={"look": first[:, ::-1], "hash": "c"}, des={"look": other, "hash": "d"}),
        case(3, "P1", le={"look": other, "hash": "e"}, des={"look": noisy, "hash": "f"}),
    ]
    found = {f.level: f for f in findings(*cases) if f.kind == "duplicate"}
    assert found["error"].where == (("c1", "le is nearly the mirrored image of c2 (correlation 1.0000)"),)
    [(label, detail)] = found["warning"].where
    assert label == "c1"
    assert detail.startswith("des is nearly the image of c3 (correlation 0.99")
    assert found["error"].message.startswith("1 image(s) stand under two patients: nearly the same image")


def test_silhouettes_are_not_compared():
    first, _ = looks()
    flat = {"look": first, "clipped": (0.0, 0.9)}
    assert {f.kind for f in findings(case(1, le=flat | {"hash": "a"}), case(2, le=flat | {"hash": "b"}))} == {"clipped"}


def test_one_hash_is_told_once():
    first, _ = looks()
    [finding] = findings(case(1, le={"look": first, "hash": "a"}), case(2, le={"look": first, "hash": "a"}))
    assert finding.message == "1 image(s) stand under two pairs: the decoded pixels are the same"


@pytest.mark.parametrize(
    ("le", "des", "told"),
    [
        ("x_CM.png", "x_2.png", ["le: its file name says DES"]),
        ("x_1.png", "x_LE.png", ["des: its file name says LE"]),
        ("des/1.png", "le/1.png", ["le: its file name says DES, des: its file name says LE"]),
        ("x_DES_1.png", "x_DES_2.png", []),
        ("DM_1.png", "DM_2.png", []),
        ("x_1.png", "x_2.png", []),
        ("a/x_CM.png", "a/x_CM.png", []),
    ],
)
def test_swapped_by_file_name(le, des, told):
    found = [detail for f in findings(case(entry={"le": le, "des": des})) for _, detail in f.where]
    assert found == told


def test_a_header_weighs_more_than_a_name():
    entry = {"le": "x_CM.png", "des": "x_2.png"}
    assert findings(case(entry=entry, le={"header": Header(energy="LE")})) == []
    assert findings(case(entry=entry, des={"header": Header(energy="DES")})) == []


@pytest.mark.parametrize(
    ("record", "detail", "remedy"),
    [
        (
            {"shift": (3.0, -4.0), "shift_share": 0.05, "overlap": 0.8, "overlap_aligned": 0.97},
            "shift +3 down, -4 right (5.0%), overlap 0.800",
            "Prepare the study again with --align translate "
            "(python -m scripts.prepare cesm_dicom|cdd_cesm ... --align translate).",
        ),
        (
            {"shift": (0.0, 0.0), "shift_share": 0.0, "overlap": 0.6, "overlap_aligned": 0.6},
            "shift +0 down, +0 right (0.0%), overlap 0.600, once shifted 0.600",
            "Look at the pictures: one is cut, inverted or of another breast.",
        ),
        (
            {"le": {"shape": (8, 9)}, "shift_share": 0.5, "overlap": 0.5},
            "LE is 8 x 9, DES 8 x 8",
            "Export both at one size.",
        ),
    ],
)
def test_each_misalignment_has_its_remedy(record, detail, remedy):
    [finding] = findings(case(**record))
    assert (finding.level, finding.kind, finding.where) == ("error", "alignment", (("c1", detail),))
    assert finding.remedy == remedy


def test_a_map_of_many_values():
    [finding] = findings(case(map_values=4))
    assert (finding.level, finding.where) == ("warning", (("c1", "4 values"),))
    assert "every value above 0 is taken for lesion" in finding.message
