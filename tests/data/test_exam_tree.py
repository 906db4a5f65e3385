"""The builder of exam trees is what it claims to be: its own truth holds on disk, file by file."""

import os
import re
from collections import Counter
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pydicom
import pytest
from exam_images import SPACING, SYNTAXES, WINDOWS, corrupt, encode, make_exposure, windowed, write_image
from exam_tree import PEOPLE, write_clean_study, write_many, write_traps
from PIL import Image
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from bundle.data.cdd_cesm_files import find_files
from bundle.data.image_check import image_problem, map_problem
from bundle.data.images import read_image
from bundle.dicom.energy import classify

FORMS = ("dicomdir", "folder", "nrrd", "jpeg")


@pytest.fixture(scope="module")
def traps(tmp_path_factory):
    return write_traps(tmp_path_factory.mktemp("traps") / "exams")


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return {form: write_clean_study(tmp_path_factory.mktemp("clean") / form, form) for form in FORMS}


def files(folder):
    """Relative path -> bytes of every file; links are not followed."""
    return {
        (Path(here) / name).relative_to(folder).as_posix(): (Path(here) / name).read_bytes()
        for here, _, names in os.walk(folder)
        for name in names
    }


def header(tree, path):
    return pydicom.dcmread(tree.root / path, stop_before_pixels=True)


class TestTraps:
    def test_the_truth_names_every_file_once(self, traps):
        assert sorted(files(traps.root)) == [truth.path for truth in traps.truth]
        assert sorted(files(traps.masks)) == sorted(one.path for one in traps.maps)

    def test_pairs_are_mutual_and_of_one_study(self, traps):
        parts = Counter("medium" if le.startswith("pt0") else le.split("/")[0] for le, _ in traps.pairs)
        assert parts == {"medium": 4, "two pairs": 6, "énergies": 7, "sides": 3, "pixels": 12, "others": 1, "maps": 8}
        assert Counter(truth.taken_for for truth in traps.truth if truth.used) == {"LE": 41, "DES": 41}
        for le, des in traps.pairs:
            one, two = traps.of(le), traps.of(des)
            assert (two.partner, two.taken_for, two.reason, one.reason) == (le, "DES", "", "")
            assert (one.laterality, one.view) == (two.laterality, two.view)
            assert header(traps, le).StudyInstanceUID == header(traps, des).StudyInstanceUID

    def test_images_that_are_used_can_be_read_and_are_worth_it(self, traps):
        for le, des in traps.pairs:
            images = [read_image(traps.root / path) for path in (le, des)]
            assert [image_problem(image, meta) for image, meta in images] == ["", ""]
            assert images[0][0].shape == images[1][0].shape == (128, 107)
            assert np.corrcoef(*(image[image > 0] for image, _ in images))[0, 1] < 0.6

    def test_what_is_skipped_has_a_pattern(self, traps):
        silent = {"DICOMDIR"}
        assert {truth.path for truth in traps.truth if not truth.used and not truth.reason} == silent
        for truth in traps.truth:
            re.compile(truth.reason)

    def test_the_directory_resolves_by_case_alone(self, traps):
        names = {
            "/".join(record.ReferencedFileID)
            for record in pydicom.dcmread(traps.root / "DICOMDIR").DirectoryRecordSequence
            if "ReferencedFileID" in record
        }
        assert len(names) == 10
        on_disk = {path for path in files(traps.root) if path.startswith("pt0")}
        assert not names & on_disk
        assert {name.lower() for name in names} - on_disk == {name.lower() for name in traps.missing}
        assert on_disk - {name.lower() for name in names} == {"pt000000/st000001/se000000/extra"}

    def test_image_types_agree_with_the_header(self, traps):
        for truth in traps.truth:
            if truth.rule == "image type":
                assert classify(header(traps, truth.path)).taken_for == truth.taken_for
            elif truth.rule not in ("", "copy"):
                assert classify(header(traps, truth.path)).rule != "image type"

    def test_the_nearest_time_alone_would_pair_wrongly(self, traps):
        at = {
            truth.path: float(header(traps, truth.path).AcquisitionTime)
            for truth in traps.truth
            if truth.path.startswith("two pairs/by time")
        }
        les, deses = ([path for path in at if traps.of(path).taken_for == kind] for kind in ("LE", "DES"))
        nearest = min(((le, des) for le in les for des in deses), key=lambda pair: abs(at[pair[0]] - at[pair[1]]))
        assert traps.of(nearest[0]).partner != nearest[1]
        waits = [at[des] - at[le] for le, des in traps.pairs if le in at]
        assert waits == [15, 15]

    def test_every_syntax_is_there(self, traps):
        found = {header(traps, le).file_meta.TransferSyntaxUID for le, _ in traps.pairs}
        assert found == {*SYNTAXES.values(), ExplicitVRLittleEndian}

    def test_broken_files_are_broken(self, traps):
        with pytest.raises(ValueError, match="could not be read"):
            read_image(traps.root / "others/broken/truncated.dcm")
        for name in ("broken/text", "broken/empty", "0 cut copy"):
            with pytest.raises(ValueError, match=rf"{name}\.dcm (is named|has no pixel data|could not be read)"):
                read_image(traps.root / f"others/{name}.dcm")

    def test_copies_share_the_identifier_of_the_one_that_is_used(self, traps):
        copy = next(truth.path for truth in traps.truth if truth.rule == "copy")
        le = next(le for le, _ in traps.pairs if le.startswith("others"))
        assert (traps.root / copy).read_bytes() == (traps.root / le).read_bytes()
        cut = header(traps, "others/0 cut copy.dcm")
        assert cut.SOPInstanceUID == header(traps, traps.of(le).partner).SOPInstanceUID
        assert "Rows" not in cut

    def test_the_link_leads_back(self, traps):
        assert (traps.root / "others/loop/others/README.txt").samefile(traps.root / "others/README.txt")

    def test_people_can_be_recognised(self, traps):
        assert {truth.patient for truth in traps.truth if truth.patient} == {person.id for person in PEOPLE}
        assert {"ZWETSCHGE", "HOSP-774411", "19510203", "20240506"} <= traps.identity

    def test_overrides_name_files(self, traps):
        lines = traps.overrides.read_text().splitlines()
        assert lines[0] == "path,taken_for"
        for line in lines[1:]:
            path, kind = line.split(",")
            assert (traps.of(path).rule, traps.of(path).taken_for) == ("override", kind)


class TestMaps:
    def test_maps_lie_on_lesions_and_the_mirrored_one_in_the_air(self, traps):
        for one in traps.maps[:7]:
            des = read_image(traps.root / one.image)[0]
            assert one.seg.shape == des.shape
            assert des[one.seg].mean() > des[des > 0].mean() + 50
            assert map_problem(read_image(traps.root / traps.of(one.image).partner)[0], one.seg) == ""
        mirrored = np.asarray(Image.open(traps.masks / traps.maps[7].path)) > 0
        assert "mirrored" in map_problem(read_image(traps.root / traps.maps[7].image)[0], mirrored)

    def test_slicer_maps_say_where_they_lie(self, traps):
        cropped, layered, ras = traps.maps[:3]
        for one, sign in ((cropped, 1), (ras, -1)):
            array, head = nrrd.read(traps.masks / one.path)
            rows, columns = np.nonzero(one.seg)
            assert array.shape == (np.ptp(columns) + 1, np.ptp(rows) + 1, 1)
            origin = sign * np.array([columns.min() * SPACING[1], rows.min() * SPACING[0], 0])
            np.testing.assert_allclose(head["space origin"], origin, atol=1e-6)
            extent = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            assert np.array_equal(array[..., 0].T > 0, one.seg[extent])
        array, head = nrrd.read(traps.masks / layered.path)
        assert head["kinds"] == ["list", "domain", "domain", "domain"]
        assert [sorted(set(layer.ravel().tolist())) for layer in array] == [[0, 1], [0, 2]]
        assert (array > 0).all(axis=0).any()  # they overlap
        assert (array > 0).any(axis=0).sum() == layered.seg.sum()

    def test_other_forms_hold_the_map_as_it_is(self, traps):
        nifti, plain, png, seg = traps.maps[3:7]
        assert np.array_equal(nibabel.load(traps.masks / nifti.path).get_fdata()[..., 0].T > 0, nifti.seg)
        assert np.array_equal(nrrd.read(traps.masks / plain.path)[0].T > 0, plain.seg)
        assert np.array_equal(np.asarray(Image.open(traps.masks / png.path)) > 0, png.seg)
        ds = pydicom.dcmread(traps.masks / seg.path)
        assert np.array_equal(ds.pixel_array.reshape(seg.seg.shape) > 0, seg.seg)
        source = ds.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
        assert source.ReferencedSOPInstanceUID == header(traps, seg.image).SOPInstanceUID
        assert header(traps, plain.image).SOPInstanceUID in plain.path


class TestCleanStudy:
    def test_each_form_names_all_its_files(self, clean):
        for form, tree in clean.items():
            written = sorted(path for path in files(tree.root) if not path.startswith("masks/"))
            assert written == [truth.path for truth in tree.truth]
            assert len(tree.pairs) == 17
            assert len(tree.maps) == 9, form
            assert sorted(files(tree.masks)) == sorted(one.path for one in tree.maps)

    def test_the_forms_hold_the_same_pixels(self, clean):
        def content(form):
            tree = clean[form]
            exposures = [[read_image(tree.root / path)[0] for path in pair] for pair in tree.pairs]
            keys = [(tree.of(le).patient, tree.of(le).laterality, tree.of(le).view) for le, _ in tree.pairs]
            return sorted(zip(keys, exposures, strict=True), key=lambda one: (one[0], one[1][0].sum()))

        expected = content("folder")
        for form in ("dicomdir", "nrrd"):
            for (key, images), (other, others) in zip(expected, content(form), strict=True):
                assert key == other
                assert all(map(np.array_equal, images, others))
        narrowed = [
            (key, [windowed(image, kind) for image, kind in zip(images, WINDOWS, strict=False)])
            for key, images in expected
        ]
        narrowed.sort(key=lambda one: (one[0], one[1][0].sum()))
        for (key, images), (other, others) in zip(narrowed, content("jpeg"), strict=True):
            assert key == other
            assert all(np.abs(image - shown).max() <= 4 for image, shown in zip(images, others, strict=True))

    def test_windowing_by_hand(self):
        """LE 2360 / 900 runs from 1910 to 2810; its middle is 127.5, rounded to the even 128."""
        assert windowed(np.array([0, 1910, 2360, 2810, 4095]), "LE").tolist() == [0, 0, 128, 255, 255]

    def test_jpeg_names_are_those_of_cdd_cesm(self, clean):
        folder = find_files(clean["jpeg"].root)
        assert len(folder.images) == 34
        assert len(folder.masks) == 9
        assert not folder.unknown
        assert "P1_R_CC_2" in {key.case_id for key in folder.keys}

    def test_nrrd_index(self, clean):
        rows = [line.split("\t") for line in (clean["nrrd"].root / "index.txt").read_text().splitlines()]
        assert rows[0] == ["id", "img_x", "img_y", "r_l", "wc_x", "ww_x", "wc_y", "ww_y"]
        assert rows[1][0] == "P1_20_LCC"
        assert rows[1][3:] == ["L", "2360", "900", "2085", "265"]
        assert {(row[1], row[2]) for row in rows[1:]} == set(clean["nrrd"].pairs)

    def test_an_unknown_form(self, tmp_path):
        with pytest.raises(ValueError, match="form is 'png', expected 'dicomdir', 'folder', 'nrrd' or 'jpeg'"):
            write_clean_study(tmp_path, "png")


class TestSpeedAndDamage:
    @pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, SYNTAXES["jpeg lossless 70"]])
    def test_many_objects_have_their_own_identifiers(self, tmp_path, syntax):
        tree = write_many(tmp_path, objects=40, size=64, syntax=syntax)
        assert len(tree.pairs) == 20
        assert len({header(tree, truth.path).SOPInstanceUID for truth in tree.truth}) == 40
        le, des = tree.pairs[3]
        assert np.array_equal(read_image(tmp_path / des)[0], make_exposure(1, "R", (64, 64)).des)
        assert (tree.of(le).laterality, tree.of(le).view) == ("R", "MLO")

    def test_damage_is_real_and_repeatable(self, traps, tmp_path):
        paths = [traps.root / le for le, _ in traps.pairs]
        done = [corrupt(paths, tmp_path / name, np.random.default_rng(3)) for name in "ab"]
        assert [(copy.name, what) for copy, what in done[0]] == [(copy.name, what) for copy, what in done[1]]
        assert files(tmp_path / "a") == files(tmp_path / "b")
        assert {what.split()[-1] for _, what in done[0]} == {"flipped", "cut", "removed"}
        assert all(copy.read_bytes() != path.read_bytes() for (copy, _), path in zip(done[0], paths, strict=True))


def test_the_same_bytes_twice(tmp_path, traps, clean):
    again = write_traps(tmp_path / "exams")
    assert files(again.root) == files(traps.root)
    assert files(again.masks) == files(traps.masks)
    assert again.overrides.read_bytes() == traps.overrides.read_bytes()
    for form, tree in clean.items():
        again = write_clean_study(tmp_path / form, form)
        assert files(again.root) == files(tree.root)
        assert files(again.masks) == files(tree.masks)


def test_a_written_image_keeps_its_tags(tmp_path):
    pixels = make_exposure(1).le
    path = write_image(tmp_path / "a", pixels, ExplicitVRBigEndian, private={0x1B: "LCC"}, KVP="29", Modality=None)
    ds = pydicom.dcmread(path)
    assert ds.private_block(0x0045, "GEMS_SENO_02")[0x1B].value == "LCC"
    assert ds[0x0045, 0x101B].value == "LCC"
    assert ds.KVP == 29
    assert "Modality" not in ds
    assert np.array_equal(ds.pixel_array, pixels)


def test_a_syntax_without_codestream():
    with pytest.raises(
        ValueError, match=r"transfer syntax 1\.2\.840\.10008\.1\.2\.1: expected one that is encapsulated"
    ):
        encode(make_exposure(1).le, ExplicitVRLittleEndian, 12)
