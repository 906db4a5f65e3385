"""A clean phantom study passes; every planted fault is found, named with its case, and no page repeats a name."""

import json
import re
import shutil
from html.parser import HTMLParser

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from bundle.data.audit import study as audit_study
from bundle.data.audit import write_audit
from bundle.data.audit.case import CaseRecord, ImageRecord
from bundle.data.audit.header import Header, read_header
from bundle.data.audit.identity import StudyIdentity
from bundle.data.audit.patients import study_identity, text_findings
from bundle.data.datalist import datalist_hash, read_datalist
from bundle.data.isolation import Failure
from bundle.phantom.exam import write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit") / "study"
    path = write_study(folder, patients=4, image_size=256, num_workers=2)
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
    assert kinds(clean, "warning") == []  # the phantom's paths hold its Patient ID, but it is no patient
    assert kinds(clean, "information") == ["folds", "no lesion map", "patients"]
    assert clean.summary().startswith("16 pairs: 0 kind(s) of error, 0 of warning\ninformation: ")


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
    assert "Nothing was found that speaks against training." in text


def test_the_record_holds_the_measures(clean):
    record = json.loads(clean.record.read_text(encoding="utf-8"))
    assert (record["pairs"], record["patients"], len(record["cases"])) == (16, 4, 16)
    assert record["cases"][2]["case_id"].startswith("PH0001")
    assert record["cases"][2]["shift"] == [0.0, -1.0]  # a pixel of 256: the rim of a DES is dark
    assert dict(map(tuple, record["counts"][1]["rows"])) == {"CC L": 4, "CC R": 4, "MLO L": 4, "MLO R": 4}


def test_the_same_study_gives_the_same_bytes(study, clean, tmp_path):
    again = write_audit(study, tmp_path, num_workers=1, image_size=64, shown=3)
    assert again.page.read_bytes() == clean.page.read_bytes()
    assert again.record.read_bytes() == clean.record.read_bytes()
    with pytest.raises(
        FileExistsError, match=r"audit.html exists already. Choose another --output, or pass --overwrite"
    ):
        write_audit(study, tmp_path, overwrite=False)


def test_every_planted_fault_is_found(study, clean, tmp_path):
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
        moved_down[10:] = ds.pixel_array[:-10]  # 4 % of 256 rows
        ds.PixelData = moved_down.tobytes()

    def speck(data):
        small = np.zeros_like(data)
        rows, columns = (int(place.mean()) for place in np.nonzero(data)[:2])
        small[rows, columns] = 1
        return small

    for number in range(len(cases)):
        for key in ("le", "des"):
            change(number, key, lambda ds: setattr(ds, "QualityControlImage", "NO"))
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
    folds = {"k": 3, "folds": {"a": 0, "b": 1, "c": 2}, "datalist_hash": "another", "num_cases": 99}
    (folder / "folds.json").write_text(json.dumps(folds))

    audit = write_audit(path, num_workers=2, image_size=64, shown=1)
    assert audit.exit_status == 1

    def named(number):
        return f"case {number + 1}"

    assert "flipped left to right" in where(audit, "error", "lesion map")[named(mirrored)]
    assert where(audit, "warning", "lesion size") == {
        named(tiny): "1 of 1 lesion(s) vanish; pixels drawn to trained: 1 to 0"
    }
    assert where(audit, "error", "swapped") == {named(swapped): "le: its header says DES, des: its header says LE"}
    down, right = re.match(r"shift (\S+) down, (\S+) right", where(audit, "error", "alignment")[named(moved)]).groups()
    before = json.loads(clean.record.read_text(encoding="utf-8"))["cases"][moved]["shift"]  # of the rim of this DES
    assert [int(down), int(right)] == [before[0] - 10, before[1]]
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
        lowered = re.sub(r"data:image/[^\"]+", "", text).lower()  # letters of a picture spell many names
        assert "ph000" not in lowered
        assert "gonz" not in lowered
        assert "20000101" not in lowered
        assert str(tmp_path) not in text
    assert "Do not train on this yet." in audit.page.read_text()
    assert all(href[1:] in parsed(audit).ids for href in parsed(audit).links)


def test_arguments_that_make_no_audit(study):
    with pytest.raises(ValueError, match="image_size is 0 and shown 12, expected 1 or more and 0 or more"):
        write_audit(study, image_size=0)


def test_folds_that_are_named_must_be_there(study, tmp_path, monkeypatch):
    monkeypatch.setattr(audit_study, "work_apart", lambda work, items, *_, **__: [Failure("crash") for _ in items])
    [named] = [f for f in write_audit(study, tmp_path, folds=tmp_path / "nix.json").findings if f.kind == "folds"]
    assert (named.level, named.message) == (
        "error",
        "There are no folds nix.json, although they were named: they were not checked.",
    )
    content = read_datalist(study)
    folds = {f"PH000{number}": number % 3 for number in (1, 2, 3, 4)}
    told = {"k": 3, "folds": folds, "datalist_hash": datalist_hash(content), "num_cases": 16}
    (tmp_path / "folds.json").write_text(json.dumps(told))
    assert "folds" not in {f.kind for f in write_audit(study, tmp_path, folds=tmp_path / "folds.json").findings}
    folds.pop("PH0004")
    (tmp_path / "folds.json").write_text(json.dumps(told))
    [lacks] = [f for f in write_audit(study, tmp_path, folds=tmp_path / "folds.json").findings if f.kind == "folds"]
    assert lacks.message == "The folds do not fit the datalist: folds.json gives no fold to some patients."


def test_the_name_of_a_woman_whose_pair_crashes_a_decoder_is_known(study, tmp_path, monkeypatch):
    content = json.loads(study.read_text())
    content["cases"] = content["cases"][:4]
    content["cases"][0]["case_id"], content["cases"][1]["case_id"] = "Zwetschge L", "case 1"
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    for case in content["cases"]:
        for key in ("le", "des"):
            (tmp_path / case[key]).parent.mkdir(parents=True, exist_ok=True)
            ds = pydicom.dcmread(study.parent / case[key])
            ds.PatientName, ds.QualityControlImage = "Zwetschge^Li", "NO"
            ds.save_as(tmp_path / case[key])

    def crash(work, items, *_, **__):
        return [work(item) if work is read_header else Failure("ValueError: bad file Zwetschge_Li") for item in items]

    monkeypatch.setattr(audit_study, "work_apart", crash)
    audit = write_audit(tmp_path / "datalist.json")
    assert where(audit, "error", "image")["#case 1"] == "it cannot be measured: ValueError: bad file ***_***"
    assert where(audit, "error", "image").keys() >= {"#case 1", "case 1"}
    assert "etschge" not in audit.page.read_text() + audit.record.read_text() + audit.summary()


def record_of(header):
    return CaseRecord(images={"le": ImageRecord(header=header)})


def entry_of(patient, **more):
    return {"case_id": "c", "patient_id": patient, "laterality": "L", "view": "CC", "le": "x", "des": "y", **more}


def test_names_of_all_women_raise_no_alarm_and_are_hidden():
    def words(count):
        return [{"trial": "name", f"ann{'abcdef'[number]}": "name", "site-9": "exam number"} for number in range(count)]

    assert StudyIdentity(words(4)).kinds("trial") == ["name"]  # four sisters
    identity = StudyIdentity(words(5))
    assert identity.kinds("trial") == []
    assert identity.kinds("trial of AnnA, site 9") == ["exam number", "name"]
    assert identity.masked("Anna, trial") == "***, ***"


def test_short_words_are_hidden_and_raise_no_alarm():
    identity = StudyIdentity([{"li": "name", "42": "patient ID", "berg": "issuer"}])
    assert identity.kinds("Li 42 berg") == []
    assert identity.masked("Li_42 Berg") == "***_*** ***"
    assert identity.masked("Li, shift +42 down", numbers=False) == "***, shift +42 down"


def test_one_woman_under_many_patient_ids_is_one_woman():
    header = Header(patient="Pkey", words={"zwetschge": "name"}, descriptions={"StudyDescription": "Zwetschge"})
    entries = [entry_of(f"P{number}") for number in range(6)]
    records = [record_of(header)] * 6
    identity = study_identity(entries, records)
    assert identity.kinds("zwetschge") == ["name"]
    cases = [(f"c{number}", entry, record) for number, (entry, record) in enumerate(zip(entries, records, strict=True))]
    [finding] = text_findings({}, cases, identity, [])
    assert (finding.level, len(finding.where)) == ("error", 6)


def findings_of(*headers):
    entries, records = [entry_of(f"P{number}") for number in range(len(headers))], list(map(record_of, headers))
    cases = [(f"c{number}", entry, record) for number, (entry, record) in enumerate(zip(entries, records, strict=True))]
    return {
        (f.level, *told) for f in text_findings({}, cases, study_identity(entries, records), []) for told in f.where
    }


def woman(number=0, name="zwetschge", **descriptions):
    words = {name: "name", f"mrn-{number}": "patient ID", "14.03.1961": "date", "77001": "exam number"}
    return Header(patient=f"P{number}", words=words, descriptions=descriptions)


@pytest.mark.parametrize(
    ("place", "text", "found"),
    [
        ("StationName", "room of Zwetschge", ("error", "c0", "le: name in StationName")),
        ("(0045,1030)", "MRN 0", ("error", "c0", "le: patient ID in (0045,1030)")),
        ("StudyDescription", "born 14.03.1961", ("error", "c0", "le: date in StudyDescription")),
        ("StudyDescription", "order 77001", ("error", "c0", "le: exam number in StudyDescription")),
        ("StudyDescription", "born here", None),
        ("RequestedProcedureID", "77001", None),
        ("StudyDescription", "Obermeier", ("error", "c0", "le: another woman's name in StudyDescription")),
        ("StudyDescription", "mrn-12", ("error", "c0", "le: another woman's patient ID in StudyDescription")),
        ("StudyDescription", "before 12.11.2019", ("warning", "c0", "le: a date in StudyDescription")),
        ("SoftwareVersions", "AWS 2019-11-12", None),
        ("Manufacturer", "GE MEDICAL SYSTEMS", None),
    ],
)
def test_identity_in_a_text_of_a_header(place, text, found):
    other = Header(patient="P1", words={"obermeier": "name", "mrn-12": "patient ID"})
    header = Header(patient="P0", words={"zwetschge": "name", "mrn-0": "patient ID", "14.03.1961": "date"},
                    descriptions={place: text})  # fmt: skip
    header.words["77001"] = "exam number"
    short = Header(patient="P2", words={"born": "name"})  # four letters of another woman are no sign
    assert findings_of(header, other, short) == ({found} if found else set())


def test_texts_of_many_women_are_of_none():
    five = [
        woman(number, f"name{'abcde'[number]}", InstitutionName="St Martin, since 12.11.1999") for number in range(5)
    ]
    martin = woman(5, "martin", InstitutionName="St Martin, since 12.11.1999")
    assert findings_of(*five, martin) == set()
    assert len(findings_of(*five[:3], martin)) == 4
    six = [woman(number, f"name{'abcdef'[number]}", StudyDescription="copied from NameA") for number in range(6)]
    assert findings_of(*six) == {("error", "c0", "le: name in StudyDescription")}


def saved(path, **values):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.3"
    ds.PatientName, ds.PatientID, ds.ReferringPhysicianName = "Doe^Jane", "MRN-4711", "Doe^Max"
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    block = ds.private_block(0x0045, "MAKER", create=True)
    block.add_new(0x30, "LO", "Jane")
    block.add_new(0x31, "UN", b"Jane Doe\0")
    block.add_new(0x32, "OB", b"\1\2Jane")
    block.add_new(0x33, "DA", "20200101")
    ds.save_as(path, enforce_file_format=True)
    return path


def test_every_text_of_a_header_is_looked_at(tmp_path):
    request, other, code = Dataset(), Dataset(), Dataset()
    request.RequestedProcedureDescription, request.RequestedProcedureCodeSequence = "CESM", [code]
    code.CodeMeaning, other.PatientID, other.TypeOfPatientID = "of Jane", "OLD-5522", "TEXT"
    texts = {"StationName": "S1", "SoftwareVersions": ["V1", "V2"], "PersonName": "Doe^Jane"}
    items = {"RequestAttributesSequence": [request], "OtherPatientIDsSequence": [other]}
    header = read_header(saved(tmp_path / "a", **texts, **items, StudyDate="20200102"))
    assert header.descriptions == {
        "StationName": "S1",
        "SoftwareVersions": "V1 | V2",
        "PersonName": "Doe^Jane",
        "RequestedProcedureDescription": "CESM",
        "CodeMeaning": "of Jane",
        "(0045,0010)": "MAKER",
        "(0045,1030)": "Jane",
        "(0045,1031)": "Jane Doe",
    }
    assert header.words["old-5522"] == "patient ID"
    assert read_header(saved(tmp_path / "b", QualityControlImage="YES")).words == {}


def test_a_maker_is_cut_between_words(tmp_path):
    file = saved(tmp_path / "a", Manufacturer="Unit of Dr Brandstetter", ManufacturerModelName="patient Kowalczyk, A")
    assert read_header(file).maker == "Unit of Dr Brandstetter patient ..."
