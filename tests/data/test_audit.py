"""A clean phantom study passes; every planted fault is found, named with its case, and no page repeats a name."""

import json
import shutil
from html.parser import HTMLParser

import nibabel
import numpy as np
import pydicom
import pytest

from bundle.data.audit import write_audit
from bundle.phantom.exam import write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit") / "study"
    path = write_study(folder, patients=4, image_size=128, num_workers=2)
    return path


@pytest.fixture(scope="module")
def clean(study, tmp_path_factory):
    return write_audit(study, tmp_path_factory.mktemp("clean"), num_workers=2, image_size=64, shown=3)


class Resources(HTMLParser):
    def __init__(self):
        super().__init__()
        self.images, self.links, self.tags, self.ids, self.texts = [], [], set(), set(), []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.add(tag)
        self.ids.add(attrs.get("id"))
        self.images += [attrs["src"]] if "src" in attrs else []
        self.links += [attrs["href"]] if "href" in attrs else []

    def handle_data(self, data):
        self.texts.append(data)


def parsed(audit):
    page = Resources()
    page.feed(audit.page.read_text(encoding="utf-8"))
    return page


def kinds(audit, level):
    return sorted(finding.kind for finding in audit.findings if finding.level == level)


def where(audit, level, kind):
    return dict(entry for f in audit.findings if (f.level, f.kind) == (level, kind) for entry in f.where)


def test_a_clean_study_passes(clean):
    assert clean.exit_status == 0
    assert kinds(clean, "error") == []
    assert kinds(clean, "warning") == ["identity"]  # the phantom's paths hold its Patient ID
    assert kinds(clean, "information") == ["folds", "no lesion map", "patients"]
    assert clean.summary().startswith("16 pairs: 0 kind(s) of error, 1 of warning\nwarning: 16 entries of the datalist")


def test_the_page_needs_nothing_else(clean):
    page = parsed(clean)
    assert len(page.images) >= 9
    assert all(src.startswith("data:image/jpeg;base64,") for src in page.images)
    assert page.links
    assert all(href.startswith("#") and href[1:] in page.ids for href in page.links)
    assert not page.tags & {"script", "link", "iframe", "object"}
    text = clean.page.read_text(encoding="utf-8")
    assert "http" not in text
    assert "url(" not in text
    assert "No errors." in text


def test_the_record_holds_the_measures(clean):
    record = json.loads(clean.record.read_text(encoding="utf-8"))
    assert (record["pairs"], record["patients"], len(record["cases"])) == (16, 4, 16)
    assert record["cases"][2]["case_id"] == "case 3"
    assert record["cases"][2]["shift"] == [0.0, 0.0]
    assert dict(map(tuple, record["counts"][1]["rows"])) == {"CC L": 4, "CC R": 4, "MLO L": 4, "MLO R": 4}


def test_the_same_study_gives_the_same_bytes(study, clean, tmp_path):
    again = write_audit(study, tmp_path, num_workers=1, image_size=64, shown=3)
    assert again.page.read_bytes() == clean.page.read_bytes()
    assert again.record.read_bytes() == clean.record.read_bytes()
    with pytest.raises(
        FileExistsError, match=r"audit.html exists already. Choose another --output, or pass --overwrite"
    ):
        write_audit(study, tmp_path, overwrite=False)


def test_every_planted_fault_is_found(study, tmp_path):
    folder = tmp_path / "faulty"
    shutil.copytree(study.parent, folder)
    path = folder / "datalist.json"
    content = json.loads(path.read_text())
    cases = content["cases"]
    with_map = [number for number, case in enumerate(cases) if case["seg"]]
    mirrored, tiny = with_map[:2]
    free = [number for number in range(len(cases)) if number not in (mirrored, tiny)]
    swapped, moved, doubled, described, constant, missing, burned, unlike, sided, *_, last = free

    def change(number, key, edit):
        file = folder / cases[number][key]
        ds = pydicom.dcmread(file)
        edit(ds)
        ds.save_as(file)

    def map_of(number, edit):
        file = folder / cases[number]["seg"]
        image = nibabel.load(file)
        data = np.asanyarray(image.dataobj).copy()
        nibabel.save(nibabel.Nifti1Image(edit(data), image.affine), file)

    def shift(ds):
        moved_down = np.zeros_like(ds.pixel_array)
        moved_down[5:] = ds.pixel_array[:-5]  # 4 % of 128 rows
        ds.PixelData = moved_down.tobytes()

    def speck(data):
        small = np.zeros_like(data)
        rows, columns = (int(place.mean()) for place in np.nonzero(data)[:2])
        small[rows, columns] = 1
        return small

    map_of(mirrored, lambda data: data[::-1])
    map_of(tiny, speck)
    cases[swapped]["le"], cases[swapped]["des"] = cases[swapped]["des"], cases[swapped]["le"]
    change(moved, "des", shift)
    cases[doubled]["le"] = cases[last]["le"]
    change(
        described, "le", lambda ds: setattr(ds, "SeriesDescription", f"low energy of {ds.PatientID.lower()}, GONZÁLEZ")
    )
    change(described, "le", lambda ds: setattr(ds, "PatientName", "González^Ana"))
    change(constant, "le", lambda ds: setattr(ds, "PixelData", bytes(len(ds.PixelData))))
    (folder / cases[missing]["des"]).unlink()
    change(burned, "le", lambda ds: setattr(ds, "BurnedInAnnotation", "YES"))
    cases[unlike]["patient_id"] = "ph 01"
    cases[sided]["laterality"] = "L" if cases[sided]["laterality"] == "R" else "R"
    path.write_text(json.dumps(content))
    (folder / "folds.json").write_text('{"k": 3, "folds": {}, "datalist_hash": "another", "num_cases": 99}')

    audit = write_audit(path, num_workers=2, image_size=64, shown=1)
    assert audit.exit_status == 1

    def named(number):
        return f"case {number + 1}"

    assert "flipped left to right" in where(audit, "error", "lesion map")[named(mirrored)]
    assert where(audit, "warning", "lesion size") == {
        named(tiny): "1 of 1 lesion(s) vanish; pixels drawn to trained: 1 to 0"
    }
    assert where(audit, "error", "swapped") == {named(swapped): "le: its header says DES, des: its header says LE"}
    assert where(audit, "error", "alignment")[named(moved)].startswith("shift -5 down, +0 right (3.9%)")
    assert named(doubled) in where(audit, "error", "duplicate")
    assert where(audit, "error", "identity") == {named(described): "le: name in SeriesDescription"}
    images = where(audit, "error", "image")
    assert images == {named(constant): "le: is constant (0 everywhere)", named(missing): "des: is missing"}
    assert where(audit, "warning", "burned-in text") == {named(burned): "le: Burned In Annotation is YES"}
    assert named(sided) in where(audit, "warning", "chest wall")
    assert "its header says laterality" in where(audit, "error", "side or view")[named(sided)]
    [folds] = [finding for finding in audit.findings if finding.kind == "folds"]
    assert folds.message == "The folds do not fit the datalist: folds.json was made from 99 cases, the datalist has 16."
    assert "python -m scripts.folds" in folds.remedy
    patients = [finding.message for finding in audit.findings if finding.kind == "patient"]
    assert any("have one and the same Patient ID" in message for message in patients)
    assert any("share an image" in message for message in patients)

    for text in (audit.page.read_text(), audit.record.read_text(), audit.summary(), repr(audit.findings)):
        lowered = text.lower()
        assert "ph000" not in lowered
        assert "gonz" not in lowered
        assert "20000101" not in lowered
        assert str(tmp_path) not in text
    assert "Do not train on this yet." in audit.page.read_text()
    assert all(href[1:] in parsed(audit).ids for href in parsed(audit).links)


def test_arguments_that_make_no_audit(study):
    with pytest.raises(ValueError, match="image_size is 0 and shown 12, expected 1 or more and 0 or more"):
        write_audit(study, image_size=0)
