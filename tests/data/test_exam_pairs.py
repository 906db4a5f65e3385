"""LE finds its DES by what the headers say, and stays alone rather than with a stranger."""

from pathlib import Path

import pytest

from bundle.data.exam_objects import ExamObject
from bundle.data.exam_pairs import pair_objects
from bundle.dicom.energy import Decision


def item(name, taken_for="LE", **entries):
    given = {
        "sop_uid": f"uid-{name}",
        "study_uid": "1.2",
        "patient": "P1",
        "laterality": "R",
        "view": "CC",
        "rows": 8,
        "columns": 6,
        "is_original": taken_for == "LE",
        **entries,
    }
    return ExamObject(Path(name), Decision(taken_for), **given)


def paired(*objects, **options):
    pairs, alone = pair_objects(objects, **options)
    said = [(pair.le.path.name, pair.des.path.name, pair.paired_by) for pair in pairs]
    return said, {entry.path.name: entry.reason for entry in alone}


class TestByWhat:
    def test_the_source_image_goes_before_the_time(self):
        pairs, _ = paired(
            item("le1", moment=0.0),
            item("le2", moment=100.0),
            item("des1", "DES", moment=1.0, sources=("uid-he", "uid-le2")),
            item("des2", "DES", moment=101.0, sources=("uid-le1",)),
        )
        assert pairs == [("le1", "des2", "source image"), ("le2", "des1", "source image")]

    def test_a_named_partner_goes_before_the_source_image(self):
        pairs, _ = paired(
            item("le1"),
            item("le2"),
            item("des1", "DES", sources=("uid-le1",)),
            partners={Path("des1"): Path("le2")},
        )
        assert pairs == [("le2", "des1", "partner")]

    def test_times_are_paired_all_together(self):
        """The nearest pair first would give le2-des1, 5 s, and le1-des2, 35 s."""
        times = {"le1": 0, "le2": 20, "des1": 15, "des2": 35}
        objects = [item(name, "DES" if "des" in name else "LE", moment=float(at)) for name, at in times.items()]
        assert paired(*objects)[0] == [("le1", "des1", "time"), ("le2", "des2", "time")]

    def test_instance_numbers_where_a_time_is_missing(self):
        objects = [item("le1", number=1, moment=5.0), item("le2", number=5), item("des1", "DES", number=3)]
        objects.append(item("des2", "DES", number=8))
        assert paired(*objects)[0] == [("le1", "des1", "instance number"), ("le2", "des2", "instance number")]

    def test_equal_times_are_told_apart_by_instance_numbers(self):
        objects = [item("le1", moment=0.0, number=1), item("le2", moment=0.0, number=11)]
        objects += [item("des1", "DES", moment=0.0, number=12), item("des2", "DES", moment=0.0, number=2)]
        assert paired(*objects)[0] == [
            ("le1", "des2", "time and instance number"),
            ("le2", "des1", "time and instance number"),
        ]

    def test_one_of_each_needs_neither(self):
        assert paired(item("le"), item("des", "DES"))[0] == [("le", "des", "only one")]

    @pytest.mark.parametrize("same", [{}, {"number": 1}, {"moment": 0.0}, {"moment": 0.0, "number": 1}])
    def test_two_of_each_that_nothing_tells_apart_are_not_guessed(self, same):
        names = ("le1", "le2", "des1", "des2")
        pairs, alone = paired(*(item(name, "DES" if "des" in name else "LE", **same) for name in names))
        assert pairs == []
        assert len(alone) == 4
        assert "2 LE and 2 DES of one study, side and view cannot be told apart" in alone["le1"]

    def test_one_des_between_two_le_is_not_guessed(self):
        pairs, alone = paired(item("le1", moment=0.0), item("le2", moment=20.0), item("des", "DES", moment=10.0))
        assert (pairs, len(alone)) == ([], 3)

    @pytest.mark.parametrize("day", [0.0, 63_850_636_800.0])
    def test_all_des_behind_all_le_keep_their_order(self, day):
        """Made at the end of an exam: every order has the same sum of differences, but not of their squares."""
        objects = [item(f"le{n}", moment=day + 20.001 * n, number=n) for n in range(3)]
        objects += [item(f"des{n}", "DES", moment=day + 300.003 + 7.1 * n, number=10 + n) for n in range(3)]
        assert paired(*objects)[0] == [(f"le{n}", f"des{n}", "time") for n in range(3)]

    def test_clocks_are_compared_where_a_date_is_missing(self):
        objects = [item("le", moment=63_850_636_800.0 + 5), item("des", "DES", moment=7.0)]
        assert paired(*objects)[0] == [("le", "des", "only one")]

    def test_an_original_le_goes_before_a_derived_one(self):
        pairs, alone = paired(
            item("derived", moment=10.0, is_original=False),
            item("original", moment=2.0),
            item("des", "DES", moment=10.0),
        )
        assert pairs == [("original", "des", "only one")]
        assert alone == {"derived": "an ORIGINAL LE image of its exposure is used"}

    def test_an_original_of_another_exposure_does_not(self):
        pairs, _ = paired(
            item("derived", moment=0.0, is_original=False),
            item("original", moment=300.0),
            item("des", "DES", moment=1.0),
        )
        assert pairs == [("derived", "des", "time")]

    def test_a_derived_le_that_names_its_original_is_left(self):
        objects = [
            item("original", moment=0.0),
            item("derived", is_original=False, moment=99.0, sources=("uid-original",)),
        ]
        pairs, alone = paired(*objects, item("des", "DES", moment=99.0))
        assert pairs == [("original", "des", "only one")]
        assert list(alone) == ["derived"]

    def test_a_des_whose_named_le_is_taken_gets_no_other(self):
        pairs, alone = paired(
            item("le1", moment=0.0),
            item("le2", moment=50.0),
            item("des", "DES", sources=("uid-le1",), moment=1.0),
            item("again", "DES", sources=("uid-le1",), moment=51.0),
        )
        assert pairs == [("le1", "des", "source image")]
        assert alone["again"] == "the LE that its Source Image Sequence names is paired with another DES"
        assert "it has no DES left" in alone["le2"]

    def test_a_des_whose_named_le_is_of_another_view_gets_no_other(self):
        pairs, alone = paired(item("mlo", view="MLO"), item("cc"), item("des", "DES", sources=("uid-mlo",)))
        assert pairs == []
        assert alone["des"] == "its Source Image Sequence names an LE of another study, side, view or size"

    def test_a_source_that_is_not_here_leaves_it_to_the_time(self):
        assert paired(item("le"), item("des", "DES", sources=("uid-raw",)))[0] == [("le", "des", "only one")]

    def test_a_named_partner_is_kept_for_it(self):
        pairs, _ = paired(
            item("le1"),
            item("le2"),
            item("a", "DES", sources=("uid-le1",)),
            item("b", "DES"),
            partners={Path("b"): Path("le1")},
        )
        assert pairs == [("le1", "b", "partner")]

    def test_a_derived_le_is_used_where_there_is_no_other(self):
        assert paired(item("derived", is_original=False), item("des", "DES"))[0] == [("derived", "des", "only one")]


class TestWhatIsNoPair:
    @pytest.mark.parametrize("entry", ["study_uid", "laterality", "view", "rows", "columns", "patient"])
    def test_they_share_study_side_view_and_size(self, entry):
        other = {"study_uid": "9", "laterality": "L", "view": "MLO", "rows": 9, "columns": 9, "patient": "P2"}[entry]
        pairs, alone = paired(item("le"), item("des", "DES", **{entry: other}))
        assert pairs == []
        assert alone["le"] == "it has no DES of its study, side, view and size"
        assert alone["des"] == "it has no LE of its study, side, view and size"

    @pytest.mark.parametrize(
        ("entry", "value", "said"),
        [
            ("laterality", "", "its side is not given: name it in --overrides"),
            ("view", "", "its view is not given: name it in --overrides"),
            ("view", "ML", "its view is ML, expected CC or MLO"),
            ("study_uid", "", "it has no Study Instance UID"),
        ],
    )
    def test_what_a_header_lacks(self, entry, value, said):
        _, alone = paired(item("le", **{entry: value}), item("des", "DES", **{entry: value}))
        assert said in alone["le"]
        assert said in alone["des"]

    def test_hours_apart(self):
        objects = item("le", moment=0.0), item("des", "DES", moment=7200.0)
        pairs, alone = paired(*objects)
        assert pairs == []
        assert alone["des"] == "LE and DES are 7200 s apart, expected 600 s at most (--max_gap)"
        assert len(paired(*objects, max_gap=7200.0)[0]) == 1

    def test_one_too_many(self):
        _, alone = paired(item("le1", moment=0.0), item("le2", moment=50.0), item("des", "DES", moment=51.0))
        assert alone == {"le1": "it has no DES left of its study, side, view and size: the others are paired"}

    def test_he_and_others_are_passed_over(self):
        assert paired(item("he", "HE"), item("us", "other"), item("x", "unknown")) == ([], {})


def test_what_is_as_it_should_be_needs_no_look():
    _, alone = pair_objects([item("ml", view="ML"), item("none", view=""), item("le"), item("odd", view="C")])
    assert {entry.path.name: entry.expected for entry in alone} == {
        "ml": True,
        "none": False,
        "le": False,
        "odd": False,
    }


class TestNames:
    def test_the_second_pair_of_a_view_counts_in_the_order_of_time(self):
        objects = []
        for study, moment in (("later", 200.0), ("earlier", 100.0)):
            objects += [item(f"le-{study}", study_uid=study, moment=moment)]
            objects += [item(f"des-{study}", "DES", study_uid=study, moment=moment)]
        pairs, _ = pair_objects(objects)
        assert [(pair.case_id, pair.le.path.name) for pair in pairs] == [
            ("P1_R_CC", "le-earlier"),
            ("P1_R_CC_2", "le-later"),
        ]

    def test_the_files_names_do_not_matter(self):
        objects = [item(name, "DES" if "des" in name else "LE", number=3) for name in ("le1", "des1")]
        renamed = [item(name, "DES" if "des" in name else "LE", number=3) for name in ("z_le", "a_des")]
        assert pair_objects(objects)[0][0].case_id == pair_objects(renamed)[0][0].case_id

    def test_an_id_that_is_no_file_name(self):
        pairs, _ = pair_objects([item("le", patient="A/7 b"), item("des", "DES", patient="A/7 b")])
        assert pairs[0].case_id == "A-7-b_R_CC"
