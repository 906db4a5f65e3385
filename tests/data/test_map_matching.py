"""Each rule finds the image that a hospital engineer would name, and nothing is guessed."""

import unicodedata
from dataclasses import replace
from pathlib import Path, PurePath

import pytest

from bundle.data.map_matching import Target, match_maps

ROOT, MASKS = Path("/images"), Path("/masks")


def pair(case_id, folder, le, des, side="R", view="CC", patient="4711", uid=""):
    """LE and DES of one pair; ``folder`` may hold {} for LE and DES."""
    places = [PurePath(folder.replace("{}", kind)) for kind in ("LE", "DES")]
    return [
        Target(case_id, kind, ROOT / place / name, place, uid and f"{uid}.{number}", (patient, "Pabc"), side, view)
        for number, (kind, place, name) in enumerate(zip(("LE", "DES"), places, (le, des), strict=True), 1)
    ]


TWO = [*pair("c1", "a", "IM1.dcm", "IM2.dcm", uid="1.2.3"), *pair("c2", "b", "IM1.dcm", "IM2.dcm", "L", "MLO", "88")]


def found(name, targets=TWO, references=(), masks=MASKS):
    """(case, kind, rule) of the one match, or the reason."""
    path = masks / name
    matches, unmatched = match_maps([path], masks, targets, {path: references})
    assert len(matches) + len(unmatched) == 1
    return (matches[0].case_id, matches[0].drawn_on, matches[0].rule) if matches else unmatched[0][1]


@pytest.mark.parametrize(
    ("name", "references", "expected"),
    [
        ("seg.dcm", ["1.2.3.1"], "LE"),
        ("seg.dcm", ["9.9", "1.2.3.2"], "DES"),
        ("seg.dcm", ["1.2.3.1", "1.2.3.2"], "DES"),
        ("seg LE.dcm", ["1.2.3.1", "1.2.3.2"], "LE"),
        ("b/IM1.dcm", ["1.2.3.1"], "LE"),  # before name and folder
        ("1.2.3.1.seg.nrrd", (), "LE"),
        ("x/1.2.3.2/mask.png", (), "DES"),
    ],
)
def test_the_uid_goes_first(name, references, expected):
    assert found(name, references=references) == ("c1", expected, "SOP Instance UID")


def test_a_longer_uid_is_another_one():
    assert found("1.2.3.11.seg.nrrd").startswith("no image has its name")


def test_a_seg_of_several_pairs_matches_each():
    targets = [*pair("c1", "a", "x", "y", uid="1.2.3"), *pair("c2", "a", "v", "w", uid="1.2.4")]
    path = MASKS / "seg"
    matches, unmatched = match_maps([path], MASKS, targets, {path: ["1.2.3.2", "1.2.4.2", "1.2.3.1"]})
    assert [(match.case_id, match.drawn_on) for match in matches] == [("c1", "DES"), ("c2", "DES")]
    assert unmatched == []


@pytest.mark.parametrize(
    "name",
    [
        "scan.seg.nrrd",
        "SCAN.SEG.NRRD",
        " scan .png",
        "scan_seg.nii.gz",
        "scan-Mask.png",
        "scan_lesion_2.nrrd",
        "scan Segmentation.seg.nrrd",
        "scan_map_label.nii",
        "scan.dcm.seg.nrrd",
        "elsewhere/scan.nrrd",
    ],
)
def test_the_file_name_without_its_endings(name):
    assert found(name, pair("c1", "a", "other.dcm", "scan.dcm")) == ("c1", "DES", "file name")


def test_the_longest_name_goes_first():
    targets = [*pair("c1", "a", "x.png", "scan.png"), *pair("c2", "a", "y.png", "scan_seg.png")]
    assert found("scan_seg.nrrd", targets)[0] == "c2"
    assert found("scan_mask.nrrd", targets)[0] == "c1"


def test_accents_may_be_taken_apart():
    targets = pair("c1", "a", "x.png", unicodedata.normalize("NFC", "Zoé.png"))
    assert found(unicodedata.normalize("NFD", "Zoé_seg.png"), targets) == ("c1", "DES", "file name")


@pytest.mark.parametrize(
    ("name", "expected"), [("c1.png", "DES"), ("c1_LE.png", "LE"), ("C1 low energy.png", "LE"), ("LE/c1.png", "LE")]
)
def test_the_case_and_which_image_it_was_drawn_on(name, expected):
    assert found(name, pair("c1", "{}", "x.png", "y.png")) == ("c1", expected, "file name")


def test_the_image_of_a_name_is_the_one_drawn_on():
    assert found("le_image_seg.png", pair("c1", "a", "le_image.dcm", "des_image.dcm"))[1] == "LE"


def test_a_name_that_occurs_twice_is_settled_by_its_folder():
    assert found("a/IM1.seg.nrrd") == ("c1", "LE", "file name")
    assert found("B/IM2.seg.nrrd") == ("c2", "DES", "file name")
    assert found("88/IM2.seg.nrrd") == ("c2", "DES", "file name")
    assert found("x/IM2.seg.nrrd") == (
        "it is ambiguous: several images have its name, of cases c1, c2. Name it as the one image that it was "
        "drawn on, or put it into that image's folder"
    )


def test_a_name_of_another_folder_is_not_taken():
    targets = [*TWO, *pair("c3", "b", "IM3.dcm", "IM4.dcm")]
    assert found("a/IM4.nrrd", targets) == (
        "an image of case c3 has its name, but its folder is that of case c1. Put it where its image lies, or rename it"
    )


FOUR = [
    target
    for side in "LR"
    for view in ("CC", "MLO")
    for target in pair(side + view, "p/{}", f"{side}{view}le", f"{side}{view}des", side, view)
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mask RCC.png", "RCC"),
        ("R_CC_lesion.png", "RCC"),
        ("r-mlo.seg.nrrd", "RMLO"),
        ("LMLO2.png", "LMLO"),
        ("left mlo.png", "LMLO"),
        ("map_L_of_RCC.png", "RCC"),
    ],
)
def test_side_and_view_in_the_folder(name, expected):
    assert found(f"p/DES/{name}", FOUR) == (expected, "DES", "folder")
    assert found(f"p/LE/{name}", FOUR) == (expected, "LE", "folder")
    assert found(f"4711/{name}", FOUR) == (expected, "DES", "folder")
    assert found(f"p/LE/des {name}", FOUR) == (expected, "DES", "folder")


def test_a_folder_with_one_pair_needs_no_name():
    assert found("a/lesion.png") == ("c1", "DES", "folder")
    assert found("a/lesion LE.png") == ("c1", "LE", "folder")


def test_the_folder_of_one_image_says_on_which_it_was_drawn():
    le, des = pair("c1", "series{}", "x", "y")
    assert found("seriesLE/lesion.png", [le, des]) == ("c1", "LE", "folder")
    assert found("seriesDES/lesion.png", [le, des]) == ("c1", "DES", "folder")
    assert found("seriesLE/c1.png", [le, des]) == ("c1", "LE", "file name")


def test_the_images_folder_may_be_that_of_the_maps():
    assert found("b/lesion.png", masks=ROOT) == ("c2", "DES", "folder")


def test_a_map_elsewhere_has_neighbours_only():
    path = ROOT / "a" / "lesion"
    matches, _ = match_maps([path, ROOT / "lesion"], MASKS, TWO, {})
    assert [(match.path, match.case_id) for match in matches] == [(path, "c1")]


def test_a_side_that_the_folder_has_not():
    assert found("a/LCC.png") == (
        "its name says L CC, but its folder is that of case c1. Rename it as its image, or put it where its image lies"
    )


def test_a_view_alone_does_not_pick_the_side():
    reason = found("4711/cc.png", FOUR)
    assert reason.startswith("it is ambiguous: several images of its folder go with its name, of cases LCC, RCC.")


def test_many_candidates_are_counted():
    six = [*FOUR, *pair("c5", "p/DES", "x", "y"), *pair("c6", "p/DES", "v", "w")]
    assert "cases LCC, LMLO, RCC, RMLO and 2 more. Name" in found("p/DES/q.png", six)


def test_two_pairs_of_one_view_are_ambiguous():
    targets = [*pair("c1", "p", "a", "b"), *pair("c2", "p", "c", "d")]
    assert found("p/RCC.png", targets).startswith("it is ambiguous")


def test_one_uid_of_two_images_is_ambiguous():
    targets = [*pair("c1", "a", "x", "y", uid="1.2.3"), *pair("c2", "b", "x", "y", uid="1.2.3")]
    reason = found("seg", targets, references=["1.2.3.1"])
    assert reason.startswith(
        "it is ambiguous: the SOP Instance UID that it refers to is that of several images, of cases c1, c2."
    )
    assert found("1.2.3.1.png", targets).startswith("it is ambiguous: its name holds SOP Instance UIDs of several")


def test_no_image_at_all():
    assert found("q/lesion.png", []) == (
        "no image has its name, and none lies in the folder of the same place: expected the name of its image, as "
        "IM0001.seg.nrrd for IM0001.dcm. Rename it, or put it where its image lies"
    )


def test_several_maps_of_one_image_keep_their_order():
    maps = [MASKS / "a" / name for name in ("IM2_seg_2.png", "IM2_seg_1.png", "nothing_LMLO.png", "IM2.png")]
    matches, unmatched = match_maps(maps, MASKS, TWO, {})
    assert [match.path for match in matches] == [maps[0], maps[1], maps[3]]
    assert [path for path, _ in unmatched] == [maps[2]]


NO_PAIR = "its image is in no pair: settle that first (skipped.csv)"


def alone(folder, name, kind="DES", side="R", view="MLO", uid="", patient="4711"):
    """An image that is in no pair."""
    place = PurePath(folder)
    return Target("", kind, ROOT / place / name, place, uid, (patient,), side, view, usable=False)


class TestImagesWithoutAPair:
    P1 = pair("c1", "P1", "IM1.dcm", "IM2.dcm", uid="1.2.3")

    def test_a_name_in_the_flat_folder_is_ambiguous(self):
        targets = [*pair("c1", "A", "IM1", "IM2", patient="A"), alone("B", "IM2", patient="B")]
        assert found("B/IM2.seg.nrrd", targets) == NO_PAIR
        assert found("A/IM2.seg.nrrd", targets) == ("c1", "DES", "file name")
        assert found("IM2.seg.nrrd", targets) == (
            "it is ambiguous: several images have its name, of case c1 and an image without a pair. Name it as the one "
            "image that it was drawn on, or put it into that image's folder"
        )
        assert "of case c1 and 2 images without a pair." in found("IM2.png", [*targets, alone("C", "IM2")])

    def test_two_images_without_a_pair_are_two(self):
        targets = [*self.P1, alone("B", "IM2"), alone("C", "IM9")]
        assert found("C/IM2.png", targets) == (
            "an image of case c1 and an image without a pair has its name, but its folder is that of an image without "
            "a pair. Put it where its image lies, or rename it"
        )

    @pytest.mark.parametrize("kind", ["LE", "DES", "HE", "unknown", "unreadable"])
    def test_its_map_goes_nowhere_else(self, kind):
        targets = [*self.P1, alone("P1", "IM4", kind, uid="1.2.9")]
        for name in ("P1/IM4.seg.nrrd", "P1/IM4_mask.png", "P1/1.2.9.seg.nrrd", "1.2.9/m.png", "IM4.png", "x/IM4.nrrd"):
            assert found(name, targets) == NO_PAIR
        assert found("P1/m", targets, ["1.2.9"]) == NO_PAIR
        assert found("P1/m", targets, ["1.2.9", "1.2.3.1"]) == ("c1", "LE", "SOP Instance UID")

    def test_it_is_a_candidate_of_its_folder(self):
        targets = [*self.P1, alone("P1", "IM4")]
        assert found("P1/lesion.png", targets) == (
            "it is ambiguous: several images of its folder go with its name, of case c1 and an image without a pair. "
            "Name it as the one image that it was drawn on, or put it into that image's folder"
        )
        assert found("P1/RCC.png", targets) == ("c1", "DES", "folder")
        assert found("P1/RMLO.png", targets) == NO_PAIR
        assert found("P1/LCC.png", targets).startswith(
            "its name says L CC, but its folder is that of case c1 and an image without a pair."
        )
        assert found("P1/RCC.png", [*self.P1, alone("P1", "IM4", side="", view="")]).startswith("it is ambiguous")
        assert found("B/lesion.png", [*self.P1, alone("B", "x")]) == NO_PAIR

    def test_a_second_exposure_of_one_view_is_a_candidate(self):
        for kind in ("LE", "DES", "unknown"):
            assert found("P1/RCC.png", [*self.P1, alone("P1", "IM4", kind, view="CC")]).startswith("it is ambiguous")

    def test_nobody_draws_on_the_high_energy_image_of_a_pair(self):
        assert found("P1/lesion.png", [*self.P1, alone("P1", "IM3", "HE", view="CC")]) == ("c1", "DES", "folder")
        for other in ({"view": "MLO"}, {"view": "CC", "patient": "88"}, {"view": "CC", "side": ""}):
            assert found("P1/lesion.png", [*self.P1, alone("P1", "IM3", "HE", **other)]).startswith("it is ambiguous")
        series = [*pair("c1", "p/{}", "IM1", "IM1"), alone("p/HE", "IM1", "HE", view="CC")]
        assert found("4711/IM1_mask.png", series) == ("c1", "DES", "file name")

    def test_the_image_of_a_broken_pair_keeps_its_case(self):
        broken = [replace(target, usable=False) for target in self.P1]
        assert found("c1.png", broken) == found("P1/lesion.png", broken) == NO_PAIR
        half = [replace(self.P1[0], usable=False), self.P1[1]]
        assert found("c1_LE.png", half) == ("c1", "DES", "file name")


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("LE THI HOA", "DES"),
        ("Le_Thi", "DES"),
        ("low dose", "DES"),
        ("LE", "LE"),
        (" le ", "LE"),
        ("Low Energy", "LE"),
        ("low_energy/RCC", "LE"),
        ("LE/recombined", "DES"),
        ("recombined/LE", "LE"),
    ],
)
def test_a_folder_says_le_by_its_whole_name(folder, expected):
    assert found(f"{folder}/c1.png", pair("c1", "a", "x.png", "y.png")) == ("c1", expected, "file name")


def test_a_case_that_is_called_so_says_nothing():
    targets = pair("LE-7_R_CC", "a", "x.png", "y.png")
    assert found("LE-7_R_CC.png", targets) == ("LE-7_R_CC", "DES", "file name")
    assert found("LE-7_R_CC_le_mask.png", targets) == ("LE-7_R_CC", "LE", "file name")
