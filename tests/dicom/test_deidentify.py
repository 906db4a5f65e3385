"""The basic confidentiality profile: nothing of the woman or her day is left, all that CESM needs is."""

from io import BytesIO

import numpy as np
import pydicom
import pytest
from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from pydicom import uid
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from bundle.dicom import headers
from bundle.dicom.deidentify import deidentify_dataset, kept_back, new_uid
from bundle.dicom.energy import classify

SALT = "a secret"
TABLE = dicom_anonymization_database_selector("dicomfields_2026c")
WORDS = (
    "MÜSTERFRAU",
    "Erika",
    "HOSP4711",
    "19610203",
    "20240506",
    "ACC998877",
    "St. Nowhere",
    "DR^WHO",
    "SN555",
    "1.2.3",
)
VALUES = {  # by VR, something that no rule may leave
    **dict.fromkeys(("LO", "SH", "LT", "ST", "UT", "UC", "PN", "AE"), "MARKED"),
    "CS": "MARKED", "UI": "1.2.3.777", "DA": "20240506", "TM": "121314.5", "DT": "20240506121314", "AS": "061Y",
    "UR": "http://marked.example", "OB": b"MARKED", "UN": b"MARKED", "DS": "777", "IS": "777", "US": 777,
}  # fmt: skip
SYNTAXES = [
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
    uid.RLELossless,
]


def fill(ds, **values):
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def source(sop_uid):
    return fill(Dataset(), ReferencedSOPClassUID=uid.DigitalMammographyXRayImageStorageForPresentation,
                ReferencedSOPInstanceUID=sop_uid)  # fmt: skip


def mammogram(syntax=uid.ExplicitVRLittleEndian, **values):
    ds = fill(
        Dataset(),
        SpecificCharacterSet="ISO_IR 100",
        SOPClassUID=uid.DigitalMammographyXRayImageStorageForPresentation,
        SOPInstanceUID="1.2.3.3",
        StudyInstanceUID="1.2.3.1",
        SeriesInstanceUID="1.2.3.2",
        IrradiationEventUID="1.2.3.4",
        ImageType=["DERIVED", "PRIMARY", "", "RECOMBINED"],
        Modality="MG",
        PatientName="MÜSTERFRAU^Erika",
        PatientID="HOSP4711",
        PatientBirthDate="19610203",
        PatientSex="F",
        StudyDate="20240506",
        AcquisitionTime="121314",
        AcquisitionDate="20240506",
        ContentDate="20240506",
        ContentTime="121314.25",
        AccessionNumber="ACC998877",
        InstitutionName="St. Nowhere",
        ReferringPhysicianName="DR^WHO",
        DeviceSerialNumber="SN555",
        StudyDescription="CESM of Erika",
        Manufacturer="GE MEDICAL SYSTEMS",
        ManufacturerModelName="Senographe Pristina",
        SoftwareVersions="for Mrs Müsterfrau, 2024-05-06",
        AcquisitionDeviceProcessingCode="GEMS_CESM_1",
        PresentationIntentType="FOR PRESENTATION",
        KVP="49",
        ImageLaterality="L",
        ViewPosition="CC",
        InstanceNumber="7",
        AcquisitionNumber="3",
        ImagerPixelSpacing=["0.1", "0.1"],
        WindowCenter="2085",
        WindowWidth="265",
        BurnedInAnnotation="NO",
        SourceImageSequence=[source("1.2.3.5")],
        ViewCodeSequence=[
            fill(
                Dataset(),
                CodeValue="399162004",
                CodingSchemeDesignator="SCT",
                CodeMeaning="cc",
                CodingSchemeUID="2.16.840.1.113883.6.96",
            )
        ],
        RequestAttributesSequence=[fill(Dataset(), RequestedProcedureID="ACC998877")],
        Rows=2,
        Columns=2,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=16,
        BitsStored=12,
        HighBit=11,
        PixelRepresentation=0,
    )
    ds.PixelData = encapsulate([b"\1\2\3\4"]) if syntax.is_encapsulated else b"\1\0\2\0\3\0\4\0"
    ds["PixelData"].VR = "OB" if syntax.is_encapsulated else "OW"
    ds.private_block(0x0045, "GEMS_SENO_02", create=True).add_new(0x1B, "LO", "LCC")
    ds.private_block(0x0009, "ERIKA 1.0", create=True).add_new(0x01, "LO", "HOSP4711")
    fill(ds, **values)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.SourceApplicationEntityTitle = "HOSP4711"
    ds.file_meta.PrivateInformationCreatorUID, ds.file_meta.PrivateInformation = "1.2.3.6", b"HOSP4711"
    ds.preamble = b"HOSP4711".ljust(128, b"x")
    return ds


def written(ds):
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


def read(raw):
    return pydicom.dcmread(BytesIO(raw))


def cleaned(ds, salt=SALT, **settings):
    """As it goes on disk: written, read, de-identified, written and read again."""
    ds = read(written(ds))
    deidentify_dataset(ds, salt, **settings)
    file = BytesIO()
    ds.save_as(file)
    return read(file.getvalue()), file.getvalue()


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_nothing_of_her_is_left_and_the_pixels_are_the_same(syntax):
    before = mammogram(syntax)
    assert all(word.encode("latin-1") in written(before) for word in WORDS) or syntax.is_deflated
    after, raw = cleaned(before)
    assert after.file_meta.TransferSyntaxUID == syntax
    assert after.PixelData == before.PixelData
    plain = raw + str(after).encode("latin-1") if syntax.is_deflated else raw
    for word in WORDS:
        for form in (word, word.upper(), word.lower(), word.title()):
            assert form.encode("latin-1") not in plain.replace(uid.PYDICOM_IMPLEMENTATION_UID.encode(), b""), word
    assert raw[:128] == bytes(128)
    assert "SourceApplicationEntityTitle" not in after.file_meta


def test_what_cesm_needs_is_kept():
    before, (after, _) = mammogram(), cleaned(mammogram())
    for keyword in (
        "SOPClassUID", "ImageType", "Modality", "KVP", "ImageLaterality", "ViewPosition", "ViewCodeSequence",
        "WindowCenter", "WindowWidth", "ImagerPixelSpacing", "PresentationIntentType", "InstanceNumber", "Manufacturer",
        "AcquisitionDeviceProcessingCode", "AcquisitionNumber", "ManufacturerModelName", "BitsStored", "Rows",
    ):  # fmt: skip
        assert after[keyword].value == before[keyword].value, keyword
    assert after.SoftwareVersions == "for Mrs ***, ***"
    assert after.SourceImageSequence[0].ReferencedSOPClassUID == before.SOPClassUID


def test_what_was_done_is_said():
    after, _ = cleaned(mammogram())
    assert (after.PatientIdentityRemoved, after.LongitudinalTemporalInformationModified) == ("YES", "REMOVED")
    assert after.DeidentificationMethod == "PS3.15 2026c table E.1-1 by dicom-anonymizer"
    (code,) = after.DeidentificationMethodCodeSequence
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("113100", "DCM")
    assert code.CodeMeaning == "Basic Application Confidentiality Profile"
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID


def test_uids_stand_for_the_same_ones_everywhere():
    le, _ = cleaned(mammogram(SOPInstanceUID="1.2.3.5", InstanceNumber="6"))
    des, _ = cleaned(mammogram())
    assert des.SourceImageSequence[0].ReferencedSOPInstanceUID == le.SOPInstanceUID
    assert (des.StudyInstanceUID, des.SeriesInstanceUID) == (le.StudyInstanceUID, le.SeriesInstanceUID)
    assert len({le.SOPInstanceUID, des.SOPInstanceUID, des.StudyInstanceUID, des.SeriesInstanceUID}) == 4
    assert le.PatientID == des.PatientID == str(le.PatientName)
    assert (le.InstanceNumber, des.InstanceNumber) == (6, 7)


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of an accent in a SEG's default character set
def test_a_dicom_seg_refers_to_its_image():
    from highdicom.content import AlgorithmIdentificationSequence
    from highdicom.seg import Segmentation, SegmentDescription
    from pydicom.sr.codedict import codes

    image = read(
        written(mammogram(PatientOrientation=["A", "F"], PatientName="MUSTERFRAU^Erika", StudyTime="", StudyID=""))
    )
    algorithm = AlgorithmIdentificationSequence("by Erika", codes.DCM.ArtificialIntelligence, "1")
    description = SegmentDescription(
        1, "Erika left", codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Lesion, "SEMIAUTOMATIC", algorithm
    )
    lesion = np.array([[[1, 0], [0, 1]]], np.uint8)
    seg = Segmentation([image], lesion, "BINARY", [description], "1.2.3.20", 100, "1.2.3.21", 1, "m", "m", "1", "SN555")
    after, raw = cleaned(seg)
    new, _ = cleaned(image)
    assert after.ReferencedSeriesSequence[0].SeriesInstanceUID == new.SeriesInstanceUID
    assert (
        after.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == new.SOPInstanceUID
    )
    frame = after.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    assert frame.ReferencedSOPInstanceUID == new.SOPInstanceUID
    assert (after.PatientID, after.StudyInstanceUID) == (new.PatientID, new.StudyInstanceUID)
    assert after.SegmentSequence[0].SegmentLabel == "*** left"
    organisation = after.DimensionOrganizationSequence[0].DimensionOrganizationUID
    assert {item.DimensionOrganizationUID for item in after.DimensionIndexSequence} == {organisation}
    assert np.array_equal(after.pixel_array, lesion[0])
    assert after.DeviceSerialNumber == "ANONYMIZED"
    for word in ("Erika", "HOSP4711", "SN555", f"{seg.ContentDate:%Y%m%d}", f"{seg.ContentTime:%H%M%S}.", "1.2.3."):
        assert word.encode() not in raw.replace(uid.PYDICOM_IMPLEMENTATION_UID.encode(), b""), word


def test_a_golden_uid():
    # HMAC-SHA-256 of b"UID 1.2.3" with the key b"salt", its first 128 bits as a UUID of version 4
    assert new_uid("1.2.3", "salt") == "2.25.90299010400142758927209472318243070519"
    assert new_uid("1.2.3\0", "salt") == new_uid("1.2.3", "salt") != new_uid("1.2.3", "pepper")
    assert uid.UID(new_uid("1.2.3", "salt")).is_valid
    for known in (uid.ExplicitVRLittleEndian, uid.SegmentationStorage, ""):
        assert new_uid(known, "salt") == known


def test_one_salt_one_result():
    first, second, other = (cleaned(mammogram(), salt)[1] for salt in ("one", "one", "two"))
    assert first == second
    one, two = read(first), read(other)
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "IrradiationEventUID"):
        assert one[keyword].value != two[keyword].value


def marked(tag):
    """An element of the table with a value that must not stay, or None for a tag that pydicom does not know."""
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return pydicom.DataElement(tag, "LO", "MARKED")
    if vr == "SQ":
        return pydicom.DataElement(tag, "SQ", [fill(Dataset(), CodeMeaning="MARKED")])
    return pydicom.DataElement(tag, vr, VALUES[vr])


def nested(*elements):
    """The elements at the top, and in two sequences that the table leaves alone, one inside the other."""
    ds, middle, inner = mammogram(), Dataset(), Dataset()
    for element in elements:
        for level in (ds, middle, inner):
            level.add(element)
    middle.AnatomicRegionModifierSequence = [inner]
    ds.AnatomicRegionSequence = [middle]
    return ds


def levels(ds):
    yield ds
    for item in ds.AnatomicRegionSequence:
        yield from (item, *item.AnatomicRegionModifierSequence)


def tags_of(name):
    return [tag for tag in TABLE[name] if len(tag) == 2 and tag[0] not in (0x0000, 0x0002)]


@pytest.mark.parametrize("tag", tags_of("X_TAGS"), ids=lambda tag: keyword_for_tag(tag) or f"{tag[0]:04x}{tag[1]:04x}")
def test_what_the_table_removes_is_at_no_depth(tag):
    ds = nested(marked(tag))
    deidentify_dataset(ds, SALT)
    assert [tag in level for level in levels(ds)] == [False] * 3


@pytest.mark.parametrize("name", [name for name in TABLE if name not in ("X_TAGS", "ALL_TAGS")])
def test_no_value_of_the_table_stays_at_any_depth(name):
    own = {keyword_for_tag(tag) for tag in tags_of(name)} & {"SOPInstanceUID", "StudyInstanceUID", "PatientID"}
    tags = [tag for tag in tags_of(name) if keyword_for_tag(tag) not in own]
    assert tags
    ds = nested(*map(marked, tags))
    deidentify_dataset(ds, SALT)
    for level in levels(ds):
        for tag in tags:
            if tag in level and name != "X_Z_U_STAR_TAGS":
                assert level[tag].value != marked(tag).value, keyword_for_tag(tag)
                assert "MARKED" not in str(level[tag])


def test_overlays_and_curves_go_as_whole_groups():
    ds = mammogram()
    for group in (0x6000, 0x601E, 0x5002):
        ds.add_new((group, 0x0022), "LO", "Erika")
        ds.add_new((group, 0x3000), "OB", b"MARKED")
    deidentify_dataset(ds, SALT)
    assert not [tag for tag in ds.keys() if tag.group & 0xFF00 in (0x5000, 0x6000)]  # noqa: SIM118, it yields elements


def test_what_the_table_does_not_list_but_may_name_her_is_removed():
    ds = mammogram()
    ds.add_new(0x00081305, "UN", b"HOSP4711")
    ds.add_new(0xE3100020, "LO", "HOSP4711")  # Patient ID with two bits flipped
    ds.PatientBirthDateInAlternativeCalendar = "5721-Shevat-17"
    ds.RetrieveURL = "https://pacs.example/studies/1.2.3.1"
    ds.StudyUpdateDateTime = "20240506"
    ds.AnatomicRegionSequence = [Dataset()]
    ds.AnatomicRegionSequence[0].private_block(0x0009, "ERIKA 1.0", create=True).add_new(1, "LO", "HOSP4711")
    raw = written(ds).replace(b"DS\x02\x0049", b"DS\x02\x00Er")
    ds = read(raw)
    deidentify_dataset(ds, SALT)
    assert raw != written(mammogram())
    for gone in (
        "KVP",
        "PatientBirthDateInAlternativeCalendar",
        "RetrieveURL",
        "StudyUpdateDateTime",
        0x00081305,
        0xE3100020,
    ):
        assert gone not in ds
    assert len(ds.AnatomicRegionSequence[0]) == 0


def test_a_code_that_has_swallowed_what_stood_behind_it_is_removed():
    raw = written(mammogram(PatientName="A^B", PatientID="HOSP4711"))
    place = raw.index(b"\x10\x00\x20\x00LO\x08\x00HOSP4711")
    before = raw.rindex(b"CS\x02\x00MG", 0, place) + 2
    ds = read(raw[:before] + (place + 16 - before - 2).to_bytes(2, "little") + raw[before + 2 :])
    assert "HOSP4711" in ds.Modality
    deidentify_dataset(ds, SALT)
    assert "Modality" not in ds
    assert b"HOSP4711" not in written(ds)


def test_side_and_view_of_the_private_attribute_move():
    ds = mammogram(ImageLaterality=None, ViewPosition=None, ViewCodeSequence=[])
    del ds.ImageLaterality, ds.ViewPosition
    assert (headers.laterality(ds), headers.view(ds)) == ("L", "CC")
    after, _ = cleaned(ds)
    assert (after.ImageLaterality, after.ViewPosition) == ("L", "CC")


@pytest.mark.parametrize(
    ("image_type", "description", "expected"),
    [
        (["DERIVED", "PRIMARY"], "Recombined", ["DERIVED", "PRIMARY", "", "RECOMBINED"]),
        (["ORIGINAL", "PRIMARY", "", "X"], "Low energy", ["ORIGINAL", "PRIMARY", "", "X", "LOW_ENERGY"]),
        (None, "high energy", ["DERIVED", "PRIMARY", "", "HIGH_ENERGY"]),
        (["DERIVED", "PRIMARY", "", "RECOMBINED"], "", ["DERIVED", "PRIMARY", "", "RECOMBINED"]),
        (["DERIVED", "PRIMARY"], "", ["DERIVED", "PRIMARY"]),
    ],
)
def test_the_energy_that_a_description_told_moves_into_image_type(image_type, description, expected):
    ds = mammogram(ImageType=image_type, SeriesDescription=description, KVP="40")
    del ds.AcquisitionDeviceProcessingCode
    kind = classify(ds).taken_for
    after, _ = cleaned(ds)
    assert list(after.ImageType) == expected
    assert classify(after).taken_for == kind


def test_a_woman_without_an_id_is_known_by_name_and_birth_date():
    keys = [
        cleaned(mammogram(PatientID="", **values))[0].PatientID
        for values in ({}, {"StudyInstanceUID": "1.2.3.9"}, {"PatientName": "A^B"})
    ]
    assert keys[0] == keys[1] != keys[2]


def test_a_pseudonym_that_others_tell_better():
    after, _ = cleaned(mammogram(PatientID=""), patient="P0123456789ab")
    assert after.PatientID == after.PatientName == "P0123456789ab"


def test_what_stays_hides_short_names_other_spellings_and_any_day():
    said = "for WU, LI; mueller 4711 HOSP 4711, 6 May 2024, 24.12.2019"
    after, _ = cleaned(mammogram(PatientName="WU^LI MÜLLER-LI", PatientID="HOSP-4711", SoftwareVersions=said))
    assert after.SoftwareVersions == "for ***, ***; *** 4711 ***, ***, ***"
    assert after.Manufacturer == "GE MEDICAL SYSTEMS"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (
            {"BurnedInAnnotation": "YES"},
            "Burned In Annotation is YES: its pixels may name the patient; export it without",
        ),
        ({"PixelData": None}, "it is no image (a report, a presentation or a document)"),
        ({"SOPInstanceUID": ""}, "it lacks SOPInstanceUID, expected a complete DICOM object; export it again"),
        ({"DirectoryRecordSequence": []}, "it is a DICOMDIR, which lists names"),
        (
            {"SOPClassUID": uid.SecondaryCaptureImageStorage, "BurnedInAnnotation": ""},
            "it is a screen copy that does not",
        ),
    ],
)
def test_what_is_kept_back(values, reason):
    ds = mammogram(**values)
    if values.get("PixelData", b"") is None:
        del ds.PixelData
    assert reason in kept_back(ds)
    with pytest.raises(ValueError, match=r"the object cannot be de-identified: (it|Burned)"):
        deidentify_dataset(ds, SALT)


def test_an_overlay_inside_the_pixels_is_kept_back():
    ds = mammogram()
    ds.add_new(0x60000010, "US", 2)
    assert "an overlay inside its pixel values" in kept_back(ds)
    ds.add_new(0x60003000, "OW", b"\0\0")
    assert kept_back(ds) == ""


def test_an_empty_salt():
    with pytest.raises(ValueError, match=r"the salt is empty, expected a secret text\. Leave it out for a random one"):
        deidentify_dataset(mammogram(), "")
