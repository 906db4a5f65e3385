"""Exams with every trap of real archives become the cases that they hold, and nothing is lost in silence."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from exam_images import corrupt, make_exposure, write_image
from exam_tree import write_clean_study, write_many, write_traps

from bundle.data.cesm_dicom import write_cesm_dicom
from bundle.data.datalist import read_datalist
from bundle.data.images import read_image
from bundle.dicom.files import has_dicom_mark

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def traps(tmp_path_factory):
    """The tree of traps, prepared, with what a user would type."""
    folder = tmp_path_factory.mktemp("traps")
    tree = write_traps(folder / "exams")
    summary = write_cesm_dicom(tree.root, folder / "out", masks=tree.masks, overrides=tree.overrides)
    return tree, summary, Prepared(folder / "out", tree.root)


class Prepared:
    """What was written, with paths relative to the root of the exams."""

    def __init__(self, output, root):
        self.output, self.root = output, root
        self.exams = pd.read_csv(output / "exams.csv", dtype=str, keep_default_na=False).set_index("path")
        self.skipped = pd.read_csv(output / "skipped.csv", dtype=str, keep_default_na=False)
        self.datalist = read_datalist(output / "datalist.json")

    def relative(self, path):
        return (self.output / path).resolve().relative_to(self.root.resolve()).as_posix()

    @property
    def pairs(self):
        return sorted((self.relative(case["le"]), self.relative(case["des"])) for case in self.datalist["cases"])

    def reasons(self, path):
        return " | ".join(self.skipped.reason[self.skipped.path == path])

    def seg_of(self, image):
        case = next(case for case in self.datalist["cases"] if image in map(self.relative, (case["le"], case["des"])))
        return read_image(self.output / case["seg"])[0] > 0 if case["seg"] else None


class TestTraps:
    def test_every_object_is_taken_for_what_it_is(self, traps):
        tree, _, made = traps
        wrong = {
            truth.path: (truth.taken_for, made.exams.taken_for.get(truth.path))
            for truth in tree.truth
            if truth.taken_for and made.exams.taken_for.get(truth.path) != truth.taken_for
        }
        assert wrong == {}

    def test_by_the_rule_that_should_decide(self, traps):
        tree, _, made = traps
        used = [truth for truth in tree.truth if truth.taken_for in ("LE", "DES", "HE")]
        assert {truth.path: made.exams.rule[truth.path] for truth in used} == {truth.path: truth.rule for truth in used}

    def test_every_pair_and_no_other(self, traps):
        tree, _, made = traps
        assert made.pairs == tree.pairs

    def test_side_and_view(self, traps):
        tree, _, made = traps
        for truth in tree.truth:
            if truth.used:
                row = made.exams.loc[truth.path]
                assert (row.laterality, row["view"]) == (truth.laterality, truth.view), truth.path
                assert row.partner == truth.partner

    def test_every_file_that_is_not_used_has_its_reason(self, traps):
        tree, _, made = traps
        for truth in tree.truth:
            if truth.reason:
                assert re.search(truth.reason, made.reasons(truth.path), re.IGNORECASE), (
                    truth,
                    made.reasons(truth.path),
                )

    def test_nothing_is_dropped_in_silence(self, traps):
        tree, _, made = traps
        on_disk = {path.relative_to(tree.root).as_posix() for path in tree.root.rglob("*") if path.is_file()}
        told = set(made.skipped.path) | {path for pair in made.pairs for path in pair}
        assert on_disk - told == set()
        assert not {path for pair in made.pairs for path in pair} & set(made.skipped.path)

    def test_what_the_dicomdir_names_and_the_disk_lacks(self, traps):
        tree, _, made = traps
        assert tree.missing
        missing = made.skipped.path[made.skipped.reason.str.contains("the DICOMDIR names this file, but it is missing")]
        assert len(missing) == len(tree.missing)

    def test_maps_lie_where_they_were_drawn(self, traps):
        tree, _, made = traps
        placed = [truth for truth in tree.maps if truth.image and not truth.reason]
        assert len(placed) > 5
        for truth in placed:
            np.testing.assert_array_equal(made.seg_of(truth.image), truth.seg, err_msg=truth.path)

    def test_maps_that_are_not_used_say_why(self, traps):
        tree, _, made = traps
        refused = [truth for truth in tree.maps if truth.reason]
        assert refused
        for truth in refused:
            named = made.skipped.reason[made.skipped.path.str.endswith(f"/{truth.path}")]
            assert re.search(truth.reason, " | ".join(named), re.IGNORECASE), (truth.path, list(named))

    def test_the_lines_count_everything(self, traps):
        tree, summary, made = traps
        text = "\n".join(summary.lines)
        assert f"{len(made.exams)} DICOM objects, 1 DICOMDIR" in text
        assert f"{len(tree.pairs)} pairs, by:" in text
        assert f"{len(made.skipped)} files, {summary.attention} of them need a look" in text
        assert 0 < summary.attention < len(made.skipped)

    def test_no_name_id_or_date_reaches_what_is_written(self, traps):
        tree, summary, made = traps
        exams = made.exams.drop(columns="partner").to_csv(index=False)
        cases = [
            {key: value for key, value in case.items() if key not in ("le", "des")} for case in made.datalist["cases"]
        ]
        lines = [line.replace(str(made.output), "") for line in summary.lines]
        text = "\n".join([exams, *made.skipped.reason, json.dumps(cases, ensure_ascii=False), *lines]).lower()
        assert [word for word in tree.identity if word.lower() in text] == []


def test_the_result_does_not_depend_on_the_processes(tmp_path):
    tree = write_clean_study(tmp_path / "exams", "folder", patients=1)
    for count in (1, 2):
        write_cesm_dicom(tree.root, tmp_path / f"out{count}", masks=tree.masks, num_workers=count)
    one, two = tmp_path / "out1", tmp_path / "out2"
    names = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(two) for path in two.rglob("*") if path.is_file())
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def test_des_is_moved_where_that_is_asked_for(tmp_path):
    tree = write_clean_study(tmp_path / "exams", "folder", patients=1)
    le, des = tree.pairs[0]
    image, _ = read_image(tree.root / des)
    write_image(tree.root / des, np.roll(image, 5, axis=0).astype(np.uint16), **like(tree.root / des))
    summary = write_cesm_dicom(tree.root, tmp_path / "out", align="translate", keep_ids=True)
    cases = read_datalist(summary.datalist)["cases"]
    moved = next(case for case in cases if case["le"].endswith(le))
    assert moved["alignment"]["shift"] == pytest.approx([-5, 0], abs=1)
    assert moved["des"].endswith("_des.png")
    assert moved["des_window"] == [2085.0, 265.0]


def test_the_window_of_a_moved_monochrome1_des_is_that_of_its_pixels(tmp_path):
    """The moved image is written in MONOCHROME2 sense, so the window of the header would show something else."""
    tree = write_clean_study(tmp_path / "exams", "folder", patients=1)
    le, des = tree.pairs[0]
    image, meta = read_image(tree.root / des)
    inverted = (4095 - np.roll(image, 5, axis=0)).astype(np.uint16)
    tags = {**like(tree.root / des), "PhotometricInterpretation": "MONOCHROME1", "WindowCenter": 4095 - 2085}
    write_image(tree.root / des, inverted, **tags)
    assert read_image(tree.root / des)[1]["window_center"] == meta["window_center"]
    cases = read_datalist(write_cesm_dicom(tree.root, tmp_path / "out", align="translate").datalist)["cases"]
    moved = next(case for case in cases if case["le"].endswith(le))
    assert moved["des_window"] == [2085.0, 265.0]
    np.testing.assert_array_equal(read_image(tmp_path / "out" / moved["des"])[0][5:-5], image[5:-5])


def like(path):
    """Tags of a written object, to write it again with other pixels."""
    import pydicom

    ds = pydicom.dcmread(path, stop_before_pixels=True)
    ours = ("PatientName", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "ImageType")
    ours += ("ImageLaterality", "ViewPosition", "WindowCenter", "WindowWidth", "ImagerPixelSpacing", "InstanceNumber")
    return {keyword: ds.get(keyword) for keyword in ours if ds.get(keyword) is not None}


@pytest.mark.parametrize("count", [300, pytest.param(3000, marks=pytest.mark.slow)])
def test_damaged_files_are_all_reported(tmp_path, capfd, count):
    """Of every transfer syntax: bytes flipped, cut, tags removed. A swallowed name must not come out in a reason."""
    tree = write_traps(tmp_path / "whole", size=(64, 54))
    paths = [tree.root / truth.path for truth in tree.truth]
    paths = [path for path in paths if path.name.upper() != "DICOMDIR" and has_dicom_mark(path)]
    rng = np.random.default_rng(20260101)
    damaged, told, written = 0, 0, []
    while damaged < count:
        folder, output = tmp_path / f"damaged{damaged}", tmp_path / f"out{damaged}"
        copies = {path.resolve() for path, _ in corrupt(paths[: count - damaged], folder, rng)}
        summary = write_cesm_dicom(folder, output, time_limit=20)
        skipped = pd.read_csv(output / "skipped.csv")
        exams = pd.read_csv(output / "exams.csv").drop(columns=["path", "partner"])
        used = set()
        if summary.datalist is not None:
            for case in read_datalist(summary.datalist)["cases"]:
                used |= {(output / case[key]).resolve() for key in ("le", "des")}
        named = {(folder / path).resolve() for path in skipped.path}
        assert copies - named - used == set()
        damaged, told = damaged + len(copies), told + len(named)
        written += [*skipped.reason, exams.to_csv(), *(line.replace(str(tmp_path), "") for line in summary.lines)]
    assert told > count / 3
    said = "".join(capfd.readouterr())
    assert "Traceback" not in said
    text = "\n".join([said, *written]).lower()
    assert [word for word in tree.identity if word.lower() in text] == []


class TestManyFiles:
    SCRIPT = """
import resource, sys, time
from bundle.data.cesm_dicom import write_cesm_dicom
if __name__ == "__main__":
    started = time.monotonic()
    summary = write_cesm_dicom(sys.argv[1], sys.argv[2], num_workers=2)
    kilobytes = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(time.monotonic() - started, kilobytes, summary.attention)
"""

    def run(self, tmp_path, objects):
        root = write_many(tmp_path / f"many{objects}", objects).root
        script = tmp_path / "prepare_many.py"
        script.write_text(self.SCRIPT)
        done = subprocess.run(
            [sys.executable, str(script), str(root), str(tmp_path / f"out{objects}")],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        seconds, kilobytes, attention = map(float, done.stdout.split())
        assert attention == 0
        assert len(read_datalist(tmp_path / f"out{objects}" / "datalist.json")["cases"]) == objects // 2
        return seconds, kilobytes / 1024

    def test_1000_objects_in_a_minute_and_a_memory_that_does_not_grow(self, tmp_path):
        _, few = self.run(tmp_path, 100)
        seconds, many = self.run(tmp_path, 1000)
        assert seconds < 60
        assert many < few + 30  # MiB; a tenth of one image an object would be 100


class TestWhatAUserGetsWrong:
    @pytest.fixture
    def exams(self, tmp_path):
        return write_clean_study(tmp_path / "exams", "folder", patients=1, size=(64, 54)).root

    def test_no_such_folders(self, tmp_path, exams):
        with pytest.raises(FileNotFoundError, match="There is no folder"):
            write_cesm_dicom(tmp_path / "none", tmp_path / "out")
        with pytest.raises(FileNotFoundError, match="Expected the lesion maps"):
            write_cesm_dicom(exams, tmp_path / "out", masks=tmp_path / "none")

    def test_another_alignment(self, tmp_path, exams):
        with pytest.raises(ValueError, match="align is 'up', expected one of"):
            write_cesm_dicom(exams, tmp_path / "out", align="up")

    @pytest.mark.parametrize("name", ["datalist.json", "exams.csv", "skipped.csv", "folds.json"])
    def test_a_list_that_is_there_already(self, tmp_path, exams, name):
        (tmp_path / name).write_text("mine")
        with pytest.raises(FileExistsError, match=f"holds {name} already"):
            write_cesm_dicom(exams, tmp_path)
        assert (tmp_path / name).read_text() == "mine"

    def test_one_folder_to_read_and_to_write(self, tmp_path, exams):
        for folders in ({"root": exams, "output": exams}, {"root": exams, "output": tmp_path, "masks": tmp_path}):
            with pytest.raises(ValueError, match="is the folder to write and one to read"):
                write_cesm_dicom(**folders)

    @pytest.mark.parametrize(
        ("options", "said"),
        [({"salt": ""}, "the salt is empty"), ({"max_gap": "x"}, "max_gap is 'x', expected seconds")],
    )
    def test_options(self, tmp_path, exams, options, said):
        with pytest.raises(ValueError, match=said):
            write_cesm_dicom(exams, tmp_path / "out", **options)

    def test_overwriting_leaves_nothing_of_the_former_run(self, tmp_path):
        tree = write_clean_study(tmp_path / "exams", "folder", patients=1, size=(64, 54))
        output = tmp_path / "out"
        write_cesm_dicom(tree.root, output, masks=tree.masks)
        (output / "images" / "mine.png").write_text("mine")
        assert len(list((output / "images").iterdir())) > 1
        (tmp_path / "none").mkdir()
        assert write_cesm_dicom(tmp_path / "none", output, overwrite=True).datalist is None
        assert [path.name for path in (output / "images").iterdir()] == ["mine.png"]
        assert sorted(path.name for path in output.iterdir()) == ["exams.csv", "images", "skipped.csv"]

    def test_nothing_to_pair(self, tmp_path):
        (tmp_path / "exams").mkdir()
        (tmp_path / "exams" / "notes.txt").write_text("none")
        summary = write_cesm_dicom(tmp_path / "exams", tmp_path / "out")
        assert summary.datalist is None
        assert not (tmp_path / "out" / "datalist.json").exists()
        assert "notes.txt" in (tmp_path / "out" / "skipped.csv").read_text()

    def test_a_dicomdir_as_root(self, tmp_path):
        tree = write_clean_study(tmp_path / "exams", "dicomdir", patients=1, size=(64, 54))
        dicomdir = next(path for path in tree.root.rglob("*") if path.name.upper() == "DICOMDIR")
        assert write_cesm_dicom(dicomdir, tmp_path / "out").datalist is not None


class TestObjectsUnderOneUid:
    """A copy counts once; different objects under one UID are told apart."""

    def write(self, root, name, pixels, uid, **tags):
        energy = {"LE": ["ORIGINAL", "PRIMARY", "", "LOW_ENERGY"], "DES": ["DERIVED", "PRIMARY", "", "RECOMBINED"]}
        kind = "LE" if "le" in name else "DES"
        tags = {"PatientID": "7", "StudyInstanceUID": "1.2", "ImageLaterality": "L", "ViewPosition": "CC", **tags}
        return write_image(root / name, pixels, SOPInstanceUID=uid, ImageType=energy[kind], **tags)

    def test_a_copy_that_an_override_names_stays_one(self, tmp_path):
        root, shown = tmp_path / "in", make_exposure(1, "L", (64, 54))
        for folder in "ab":
            self.write(root, f"{folder}/le", shown.le, "1.2.1")
            self.write(root, f"{folder}/des", shown.des, "1.2.2")
        (tmp_path / "o.csv").write_text("path,taken_for\n*/le,LE\n*/des,DES\n")
        write_cesm_dicom(root, tmp_path / "out", overrides=tmp_path / "o.csv")
        made = Prepared(tmp_path / "out", root)
        assert made.pairs == [("a/le", "a/des")]
        assert "it is the same object (SOP Instance UID) as no. 2 of exams.csv" in made.reasons("b/le")

    def test_different_objects_under_one_uid_are_all_kept(self, tmp_path):
        root, shown = tmp_path / "in", make_exposure(1, "L", (64, 54))
        for number in (1, 2):
            tags = {"StudyInstanceUID": f"1.2.{number}", "PatientID": str(number)}
            self.write(root, f"{number}/le", shown.le, "1.1", **tags)
            self.write(root, f"{number}/des", shown.des, "1.2", **tags)
        summary = write_cesm_dicom(root, tmp_path / "out")
        assert Prepared(tmp_path / "out", root).pairs == [("1/le", "1/des"), ("2/le", "2/des")]
        assert "4 objects share their SOP Instance UID with a different one" in "\n".join(summary.lines)


def test_a_name_that_is_not_utf8_stops_nothing(tmp_path):
    tree = write_clean_study(tmp_path / "exams", "folder", patients=1, size=(64, 54))
    le, _ = tree.pairs[0]
    (tree.root / le).rename(os.fsdecode(os.fsencode(tree.root) + b"/caf\xe9"))
    summary = write_cesm_dicom(tree.root, tmp_path / "out")
    made = Prepared(tmp_path / "out", tree.root)
    assert "its name is not UTF-8" in made.reasons("caf\\xe9")
    assert len(made.pairs) == len(tree.pairs) - 1
    assert summary.attention == 2


def test_a_map_goes_where_its_image_goes(tmp_path):
    """A DES whose LE is missing has a map: no other pair of that folder may get it."""
    tree = write_clean_study(tmp_path / "exams", "folder", patients=1)
    truth = tree.maps[0]
    (tree.root / tree.of(truth.image).partner).unlink()
    write_cesm_dicom(tree.root, tmp_path / "out", masks=tree.masks)
    made = Prepared(tmp_path / "out", tree.root)
    said = " ".join(made.skipped.reason[made.skipped.path.str.endswith(truth.path)])
    assert "its image is in no pair" in said
    assert sum(case["seg"] is not None for case in made.datalist["cases"]) == len(tree.maps) - 1


def test_logs_hold_no_identity(tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    tree = write_traps(tmp_path / "exams")
    write_cesm_dicom(tree.root, tmp_path / "out", num_workers=1)
    said = "".join(capfd.readouterr()) + caplog.text
    paths = sorted((str(path) for path in tree.root.rglob("*")), key=len, reverse=True)
    for path in paths:
        said = said.replace(path, "")
    assert [word for word in tree.identity if word.lower() in said.lower()] == []
