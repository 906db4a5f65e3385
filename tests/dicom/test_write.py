"""What a virtual DES object says, attribute by attribute."""

from __future__ import annotations

import datetime
import re
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from le_objects import MADE, SIZE, WEIGHTS, breast, coded, derived, saved, whole_le

import bundle.dicom
from bundle.dicom.energy import refusal
from bundle.dicom.files import read_dataset
from bundle.dicom.write import Form, Synthesis, derived_uids, virtual_des_object, write_object

SYNTHESIS = Synthesis("Seg-CycleGAN", "0.1.0", WEIGHTS, 32)
NEW_KEYWORDS = """  of pydicom 3.0.2, those that pydicom 2.4.5 does not know
AcousticCouplingMediumCodeSequence AcousticCouplingMediumFlag AcousticCouplingMediumSoundSpeed
AcousticCouplingMediumTemperature BeamHoldTransitionTriggerSource CenterFrequency
ConfocalMicroscopyImageFrameTypeSequence ConfocalMode DateOfInstallation DateOfManufacture DoseValueInterpretation
EthnicGroupCodeSequence ExcitationEnergy ExcitationPulseDuration ExcitationSpectralWidth ExcitationWavelength
ExcitationWavelengthSequence FailedStudySequence FractionalBandwidth IlluminationTranslationFlag ImageAcquisitionDepth
ImageDataTypeCodeSequence ImagingEquipmentToTreatmentDeliveryDeviceRelationshipSequence
IssuerOfClinicalTrialProtocolID IssuerOfClinicalTrialSeriesID IssuerOfClinicalTrialSiteID
IssuerOfClinicalTrialSubjectID IssuerOfClinicalTrialSubjectReadingID IssuerOfClinicalTrialTimePointID
LowerCutoffFrequency ObjectSoundSpeed OtherClinicalTrialProtocolIDsSequence PatientToEquipmentRelationshipSequence
PatientTreatmentPreparationSequence PhotoacousticExcitationCharacteristicsSequence
PhotoacousticImageFrameTypeSequence ROICreatorSequence ROIDateTime ROIInterpreterSequence
ROIObservationContextCodeSequence ROIObservationDateTime ReferencedInstancesBySOPClassSequence
SoundSpeedCorrectionMechanismCodeSequence SourceSeriesInformationSequence SourceSeriesSequence SyntheticData
TableTopPositionAlignmentUID TissueLocation TransducerResponseSequence TransducerTechnologySequence
UpperCutoffFrequency VertexDistance
"""


@pytest.fixture(scope="module")
def made():
    return derived()


def code(sequence):
    (item,) = sequence
    return item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning


class TestWhatItIs:
    def test_a_mammogram_for_presentation(self, made):
        assert made.SOPClassUID == made.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.1.2"
        assert (made.Modality, made.PresentationIntentType) == ("MG", "FOR PRESENTATION")

    def test_image_type_says_derived_and_secondary_and_no_more(self, made):
        assert list(made.ImageType) == ["DERIVED", "SECONDARY", ""]

    def test_synthetic_data(self, made):
        assert (made[0x0008001C].VR, made[0x0008001C].value) == ("CS", "YES")

    def test_nobody_takes_it_for_an_acquisition_or_a_recombined_image(self, made):
        assert refusal(made) == "it is synthetic data"
        del made[0x0008001C]  # by software that does not know it
        try:
            assert refusal(made) == "it is synthetic data, as its series description says"
        finally:
            made.add_new(0x0008001C, "CS", "YES")

    def test_series_description(self, made):
        assert made.SeriesDescription == "SYNTHETIC, not for diagnosis: virtual DES"
        described = derived(series_description="study 7, arm B").SeriesDescription
        assert described == "SYNTHETIC, not for diagnosis: study 7, arm B"

    def test_series_number(self, made):
        assert made.SeriesNumber == 9003
        assert derived(whole_le(SeriesNumber=None)).SeriesNumber == 9000
        assert derived(series_number=0).SeriesNumber == 0

    def test_anatomy_side_view(self, made):
        assert code(made.AnatomicRegionSequence) == ("76752008", "SCT", "Breast")
        assert (made.OrganExposed, made.BodyPartExamined, made.ImageLaterality) == ("BREAST", "BREAST", "L")
        assert code(made.ViewCodeSequence) == ("399162004", "SCT", "cranio-caudal")
        assert code(made.ViewCodeSequence[0].ViewModifierCodeSequence) == ("399161006", "SCT", "Cleavage")
        assert (made.ViewPosition, list(made.PatientOrientation)) == ("CC", ["A", "R"])
        assert made.PositionerType == "MAMMOGRAPHIC"

    @pytest.mark.parametrize("keyword", ["Laterality", "SeriesDate", "SeriesTime"])
    def test_nothing_that_would_differ_within_the_series(self, made, keyword):
        assert keyword not in made

    def test_times(self, made):
        for of in ("InstanceCreation", "Content"):
            assert (made[f"{of}Date"].value, made[f"{of}Time"].value) == ("20260304", "050607.000089")
        assert (made.AcquisitionDate, made.AcquisitionTime) == ("20250102", "111213")

    def test_times_in_the_zone_of_the_source(self):
        noon = datetime.datetime(2026, 3, 4, 12, tzinfo=datetime.UTC)
        made = derived(whole_le(TimezoneOffsetFromUTC="-0930"), made=noon)
        assert (made.ContentDate, made.ContentTime, made.TimezoneOffsetFromUTC) == (
            "20260304",
            "023000.000000",
            "-0930",
        )
        assert made.ContributingEquipmentSequence[0].ContributionDateTime == "20260304023000.000000"
        assert derived(made=noon).ContentTime == "120000.000000"


class TestWhoseItIs:
    @pytest.mark.parametrize(
        "keyword",
        [
            *(
                "PatientName",
                "PatientID",
                "PatientBirthDate",
                "PatientSex",
                "PatientAge",
                "StudyInstanceUID",
                "StudyID",
            ),
            *("StudyDate", "StudyTime", "StudyDescription", "AccessionNumber", "ReferringPhysicianName"),
            *("FrameOfReferenceUID", "PositionReferenceIndicator", "SpecificCharacterSet", "InstanceNumber"),
        ],
    )
    def test_as_its_source(self, made, keyword):
        assert made[keyword].value == whole_le()[keyword].value

    def test_no_frame_of_reference_where_the_source_has_none(self):
        for nothing in (None, ""):
            made = derived(whole_le(FrameOfReferenceUID=nothing))
            assert "FrameOfReferenceUID" not in made
            assert "PositionReferenceIndicator" not in made

    def test_a_poor_source_gets_empty_values_where_the_standard_allows_them(self):
        allowed = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID")
        allowed += ("AccessionNumber", "ReferringPhysicianName", "InstanceNumber", "DetectorType")
        made = derived(whole_le(**dict.fromkeys(allowed)))
        assert all(made[keyword].is_empty for keyword in allowed)
        assert list(made.AcquisitionContextSequence) == []

    def test_de_identification_is_said_again(self):
        le = whole_le(PatientIdentityRemoved="YES", DeidentificationMethod="by hand", ClinicalTrialSeriesID="7")
        made = derived(le)
        assert (made.PatientIdentityRemoved, made.DeidentificationMethod) == ("YES", "by hand")
        assert "ClinicalTrialSeriesID" not in made


class TestWhereItComesFrom:
    def test_source_image(self, made):
        (source,) = made.SourceImageSequence
        assert (source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID) == (made.SOPClassUID, "1.2.3.4.1")
        assert code(source.PurposeOfReferenceCodeSequence)[:2] == ("121322", "DCM")
        assert source.SpatialLocationsPreserved == "YES"
        (series,) = made.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == "1.2.3.4"
        assert series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == "1.2.3.4.1"

    def test_derivation_code_is_a_local_one(self, made):
        assert code(made.DerivationCodeSequence)[1] == "99SEGCYCLEGAN"
        assert made.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99SEGCYCLEGAN"
        assert "113062" not in str(made)  # subtraction

    def test_derivation_description(self, made):
        text = made.DerivationDescription
        assert text == (
            "SYNTHETIC virtual DES, not an acquisition, not for diagnosis. Software computed it from the one low-energy"
            " image in Source Image Sequence; nothing was subtracted, and no uptake of contrast agent was measured. "
            "Its content was made at 32 x 32 pixels of 0.2 mm and enlarged to 64 x 48 pixels of 0.1 mm: whatever is "
            f"finer than 0.2 mm is no detail of the breast. Made by Seg-CycleGAN 0.1.0, weights SHA-256 {WEIGHTS}."
        )
        assert "enlarged" not in derived(image_size=64).DerivationDescription
        longest = Synthesis("m" * 64, "v" * 64, "w" * 64, 10**6)
        le = whole_le(PatientOrientation=None)
        long = virtual_des_object(le, breast(), (2085, 265), longest, Form(), MADE).DerivationDescription
        assert len(long) <= 1024
        assert long.endswith(" Patient Orientation was inferred: its source does not say it.")

    def test_equipment_is_the_software_and_the_unit_contributed(self, made):
        assert (made.Manufacturer, made.ManufacturerModelName) == ("seg-cyclegan-cesm", "Seg-CycleGAN")
        software, unit = made.ContributingEquipmentSequence
        assert code(software.PurposeOfReferenceCodeSequence) == ("109100", "DCM", "Synthesizing Equipment")
        assert (software.ManufacturerModelName, software.SoftwareVersions) == ("Seg-CycleGAN", "0.1.0")
        assert WEIGHTS in software.ContributionDescription
        assert software.ContributionDateTime == "20260304050607.000089"
        assert code(unit.PurposeOfReferenceCodeSequence) == ("109101", "DCM", "Acquisition Equipment")
        assert (unit.Manufacturer, unit.ManufacturerModelName) == ("GE MEDICAL SYSTEMS", "Senographe Pristina")
        assert (unit.InstitutionName, list(unit.SoftwareVersions)) == ("Klinikum Süd", ["ADS 1", "PCR 2"])
        assert "InstitutionName" not in made
        assert len(derived(whole_le(Manufacturer=None)).ContributingEquipmentSequence) == 1


class TestPixels:
    def test_description_of_the_pixels(self, made):
        assert (made.SamplesPerPixel, made.PhotometricInterpretation, made.Rows, made.Columns) == (
            1,
            "MONOCHROME2",
            *SIZE,
        )
        assert (made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation) == (16, 12, 11, 0)
        assert (made.PixelIntensityRelationship, made.PixelIntensityRelationshipSign) == ("LOG", -1)
        assert (made.RescaleIntercept, made.RescaleSlope, made.RescaleType) == (0, 1, "US")
        assert made.PresentationLUTShape == "IDENTITY"
        assert (made.BurnedInAnnotation, made.LossyImageCompression) == ("NO", "00")

    def test_window(self, made):
        assert (made.WindowCenter, made.WindowWidth) == (2085, 265)
        made = derived(window=(1000 / 3, 1e5 / 3))
        assert (made["WindowCenter"].value, made["WindowWidth"].value) == (333.33333, 33333.333)

    def test_the_grid_is_that_of_the_source(self, made):
        le = whole_le()
        for keyword in ("ImagerPixelSpacing", "PixelSpacing", "PixelSpacingCalibrationType", "DetectorType"):
            assert made[keyword].value == le[keyword].value
        for keyword in ("FieldOfViewOrigin", "FieldOfViewDimensions", "CollimatorRightVerticalEdge"):
            assert made[keyword].value == le[keyword].value

    def test_once_lossy_always_lossy(self):
        ratio = {"LossyImageCompressionRatio": "12", "LossyImageCompressionMethod": "ISO_10918_1"}
        made = derived(whole_le(LossyImageCompression="01", **ratio))
        assert (made.LossyImageCompression, made.LossyImageCompressionRatio) == ("01", 12)
        le = whole_le(LossyImageCompression=None, **ratio)
        le.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.51"
        assert derived(le).LossyImageCompression == "01"
        assert "LossyImageCompressionRatio" not in derived(whole_le(**ratio))

    def test_burned_in(self):
        assert derived(whole_le(BurnedInAnnotation="YES")).BurnedInAnnotation == "YES"
        marked = derived(mark=True, pixels=breast((256, 192)), le=whole_le(Rows=256, Columns=192))
        assert marked.BurnedInAnnotation == "YES"
        assert (marked.pixel_array != breast((256, 192))).sum() > 100
        assert marked.pixel_array.max() == 2217  # white in the window 2085 / 265


class TestWhatIsLeftOut:
    @pytest.mark.parametrize(
        "keyword",
        [
            *("VOILUTSequence", "VOILUTFunction", "WindowCenterWidthExplanation", "ImageComments", "PixelPaddingValue"),
            *("SmallestImagePixelValue", "LargestImagePixelValue", "AcquisitionDeviceProcessingCode"),
            *("AcquisitionDeviceProcessingDescription", "ContrastBolusAgent", "OrganDose", "EntranceDoseInmGy"),
            *("RelativeXRayExposure", "ExposureIndex", "Sensitivity", "DetectorID", "ProtocolName", "OperatorsName"),
            *("PerformedProcedureStepID", "InstitutionName", "DeviceSerialNumber"),
        ],
    )
    def test_of_the_acquisition(self, made, keyword):
        assert keyword in whole_le()
        assert keyword not in made

    def test_private_overlays_signatures(self, made):
        groups = {element.tag.group for element in made.iterall()}
        assert {0x0045, 0x6000, 0xFFFA} <= {tag.group for tag in whole_le().keys()}  # noqa: SIM118
        assert not groups & {0x0045, 0x6000, 0xFFFA}
        item = coded("1", "99X", "x")
        item.private_block(0x0009, "MAKER", create=True).add_new(1, "LO", "private")
        inner = derived(whole_le(ProcedureCodeSequence=[item])).ProcedureCodeSequence[0]
        assert [element.tag.group for element in inner] == [8, 8, 8]

    @pytest.mark.parametrize(
        "keyword", ["KVP", "Exposure", "AnodeTargetMaterial", "BodyPartThickness", "CompressionForce"]
    )
    def test_the_beam_and_the_compression_stay(self, made, keyword):
        assert made[keyword].value == whole_le()[keyword].value
        assert made.IrradiationEventUID == "1.2.3.4.5"

    def test_a_malformed_value_that_may_be_missing(self):
        le = whole_le()
        le["StationName"]._value, le["BodyPartThickness"]._value = "S" * 17, "fifty"  # as pydicom reads them
        made = derived(le)
        assert "BodyPartThickness" not in made
        assert "StationName" not in made.ContributingEquipmentSequence[1]


class TestUids:
    def test_known_without_pixels(self, made):
        assert derived_uids(whole_le(), SYNTHESIS, Form()) == (made.SeriesInstanceUID, made.SOPInstanceUID)
        assert made.SOPInstanceUID == made.file_meta.MediaStorageSOPInstanceUID

    def test_the_same_at_all_times_and_for_every_pydicom(self):
        assert derived_uids(whole_le(), SYNTHESIS, Form()) == (
            "1.2.826.0.1.3680043.8.498.13402457924745485046906843629766492192",
            "1.2.826.0.1.3680043.8.498.58586854420239115206208195575479346869",
        )

    def test_one_series_makes_one(self):
        first, second = (derived_uids(whole_le(SOPInstanceUID=f"1.2.{n}"), SYNTHESIS, Form()) for n in (1, 2))
        assert first[0] == second[0]
        assert first[1] != second[1]
        assert derived_uids(whole_le(SeriesInstanceUID="1.9"), SYNTHESIS, Form())[0] != first[0]

    @pytest.mark.parametrize(
        "change",
        [
            (Synthesis("Seg-CycleGAN", "0.1.0", "f" * 64, 32), Form()),
            (Synthesis("Seg-CycleGAN", "0.1.0", WEIGHTS, 64), Form()),
            (Synthesis("Seg-CycleGAN", "0.1.0", WEIGHTS, 32, options="z-score"), Form()),
            (SYNTHESIS, Form(mark=True)),
        ],
    )
    def test_what_changes_pixels_gives_others(self, change):
        assert not {*derived_uids(whole_le(), *change)} & {*derived_uids(whole_le(), SYNTHESIS, Form())}

    def test_what_changes_no_pixel_does_not(self):
        form = Form(transfer_syntax="jpegls", series_number=7, series_description="other")
        assert derived_uids(whole_le(), SYNTHESIS, form) == derived_uids(whole_le(), SYNTHESIS, Form())

    def test_without_them(self):
        with pytest.raises(
            ValueError, match=r"^the LE object lacks SeriesInstanceUID, SOPInstanceUID, or says it wrongly"
        ):
            derived_uids(whole_le(SeriesInstanceUID="", SOPInstanceUID=None), SYNTHESIS, Form())

    @pytest.mark.parametrize("uid", ["..", "1..2", "1.2.", "../1.2", "/1.2", "1.2\\3", "1" * 65])
    def test_what_is_none(self, uid):
        with pytest.raises(ValueError, match="lacks SeriesInstanceUID, or"):
            derived_uids(whole_le(SeriesInstanceUID=uid), SYNTHESIS, Form())
        with pytest.raises(ValueError, match="lacks StudyInstanceUID, or"):
            derived(whole_le(StudyInstanceUID=uid))


class TestRefused:
    def test_all_that_is_missing_at_once(self):
        missing = ("StudyInstanceUID", "ImagerPixelSpacing", "ViewPosition", "ViewCodeSequence", "ImageLaterality")
        le = whole_le(**dict.fromkeys(missing), PatientOrientation=None)
        del le[0x0045, 0x101B]
        with pytest.raises(ValueError, match="expected a whole mammogram") as error:
            derived(le)
        assert str(error.value) == (
            "the LE object lacks StudyInstanceUID, ImagerPixelSpacing, ImageLaterality, ViewCodeSequence, "
            "PatientOrientation, or says it wrongly: expected a whole mammogram, whose own values nobody can make up. "
            "Export it again."
        )

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"PresentationIntentType": "FOR PROCESSING"}, "it is FOR PROCESSING"),
            ({"Modality": "US"}, "its modality is US"),
            ({"NumberOfFrames": "3"}, "it has 3 frames"),
            ({"ImagerPixelSpacing": ["0.1", "0"]}, "lacks ImagerPixelSpacing,"),
            ({"LossyImageCompression": "01"}, "lacks LossyImageCompressionRatio,"),
        ],
    )
    def test_sources(self, change, reason):
        with pytest.raises(ValueError, match=reason):
            derived(whole_le(**change))

    def test_its_own_result(self, made):
        with pytest.raises(ValueError, match=r"^it is no LE image: it is synthetic data[.]$"):
            derived(made)

    def test_a_size_that_is_missing(self):
        with pytest.raises(ValueError, match=r"^the LE object lacks Rows,"):
            derived(whole_le(Rows=None), pixels=breast())

    def test_pixels_and_window_at_once(self):
        with pytest.raises(ValueError, match=r"expected uint16") as error:
            derived(pixels=breast((8, 8)).astype(np.int32), window=(2085, 0))
        assert str(error.value) == (
            "the virtual DES is int32 (8, 8) up to 2027, expected uint16 (64, 48) up to 4095: 12 bits on the grid of "
            "the LE object; its window is (2085, 0), expected a finite centre and a width of 1 or more "
            "(PS3.3, C.11.2.1.2)."
        ).replace("2027", str(breast((8, 8)).max()))
        with pytest.raises(ValueError, match="up to 4096, expected"):
            derived(pixels=breast() + np.uint16(4096 - breast().max()))

    def test_form_and_synthesis_say_everything_at_once(self):
        with pytest.raises(
            ValueError, match=r"^Form: series_description .*at most 34.*; transfer_syntax is 'x', .*; s"
        ):
            Form("x", -1, "p" * 35)
        with pytest.raises(ValueError, match=r"^Synthesis: model is 'ä', expected .*; image_size is 0, expected"):
            Synthesis("ä", "1", "", 0)

    def test_a_name_that_cannot_be_read_is_not_replaced_by_another(self, tmp_path):
        path = saved(whole_le(SpecificCharacterSet="ISO_IR 192", PatientName="Zwetschge^Elodie"), tmp_path / "le.dcm")
        raw = path.read_bytes()
        path.write_bytes(raw.replace(b"Zwetschge^E", "Zwetschge^É".encode("latin-1")))
        with pytest.raises(ValueError, match=r"^the LE object lacks PatientName, or says it wrongly") as error:
            derived(read_dataset(path), breast())
        assert "Zwetschge" not in str(error.value)


class TestPoorSource:
    """What the standard asks for and a source does not say."""

    def test_filled_in_for_any_mammogram(self):
        le = whole_le(AnatomicRegionSequence=None, PositionerType=None, ViewCodeSequence=None, BurnedInAnnotation=None)
        made = derived(le)
        assert made.PositionerType == "MAMMOGRAPHIC"
        assert code(made.ViewCodeSequence) == ("399162004", "SCT", "cranio-caudal")
        assert list(made.ViewCodeSequence[0].ViewModifierCodeSequence) == []
        assert made.BurnedInAnnotation == "NO"

    @pytest.mark.parametrize(
        ("view", "expected"),
        [
            ([coded("R-10226", "SRT", "medio-lateral oblique")], ("399368009", "SCT", "medio-lateral oblique")),
            ([coded("399188001", "SCT", "SIO")], ("399188001", "SCT", "SIO")),
            ([coded("399188001", "", "SIO")], ("399162004", "SCT", "cranio-caudal")),
        ],
    )
    def test_view_code(self, view, expected):
        assert code(derived(whole_le(ViewCodeSequence=view)).ViewCodeSequence) == expected

    def test_side_of_the_series_or_of_the_vendor(self):
        assert derived(whole_le(ImageLaterality=None, Laterality="R")).ImageLaterality == "R"
        assert derived(whole_le(ImageLaterality=None)).ImageLaterality == "L"  # GE's LCC
        both = whole_le(ImageLaterality="B")
        del both[0x0045, 0x101B]
        assert derived(both).ImageLaterality == "B"

    @pytest.mark.parametrize(
        ("laterality", "view", "wall", "expected"),
        [
            ("L", "CC", "left", ["A", "R"]),
            ("R", "CC", "right", ["P", "L"]),
            ("L", "MLO", "left", ["A", "FR"]),
            ("R", "MLO", "right", ["P", "FL"]),
            ("L", "CC", "right", ["P", "L"]),
            ("R", "MLO", "left", ["A", "HR"]),
            ("R", "ML", "right", ["P", "F"]),
        ],
    )
    def test_orientation_from_the_chest_wall(self, laterality, view, wall, expected):
        said = {"ImageLaterality": laterality, "ViewPosition": view, "ViewCodeSequence": None}
        made = derived(whole_le(**said, PatientOrientation=None), breast(side=wall))
        assert list(made.PatientOrientation) == expected

    def test_no_orientation_without_a_breast(self):
        with pytest.raises(ValueError, match="lacks PatientOrientation,"):
            derived(whole_le(PatientOrientation=None), np.full(SIZE, 9, np.uint16))


class TestFiles:
    def test_whole_or_not_at_all(self, made, tmp_path, monkeypatch):
        path = write_object(made, tmp_path / "a" / "b.dcm")
        assert [file.name for file in path.parent.iterdir()] == ["b.dcm"]
        before = path.read_bytes()

        def full(*_):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            with pytest.raises(OSError, match="No space left"):
                write_object(made, path)
        assert [file.name for file in path.parent.iterdir()] == ["b.dcm"]
        assert path.read_bytes() == before

    def test_the_same_bytes(self, tmp_path):
        first, second = (write_object(derived(), tmp_path / name).read_bytes() for name in ("1", "2"))
        assert first == second

    def test_a_value_that_cannot_be_written_is_not_quoted(self, tmp_path):
        ds = derived()
        ds["PatientID"]._value = object()
        with pytest.raises(
            ValueError, match=r"^the object holds a value that cannot be written [(][A-Za-z]+[)]: export"
        ):
            write_object(ds, tmp_path / "x.dcm")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("charset", "name"),
        [
            ("ISO_IR 100", "Müller^Élodie"),
            ("ISO_IR 192", "Lüdenscheidt^Élodie=山田^太郎"),
            (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
            ("GB18030", "Wang^XiaoDong=王^小东"),
        ],
    )
    @pytest.mark.parametrize("implicit", [False, True])
    def test_names_pass_unharmed(self, tmp_path, charset, name, implicit):
        le = whole_le(SpecificCharacterSet=charset, PatientName=name, InstitutionName=None, ReferringPhysicianName="X")
        saved(le, tmp_path / "le.dcm", implicit)
        source = read_dataset(tmp_path / "le.dcm")
        made = pydicom.dcmread(write_object(derived(source, breast()), tmp_path / "made.dcm"))
        assert str(made.PatientName) == name
        assert made.PatientName.original_string == pydicom.dcmread(tmp_path / "le.dcm").PatientName.original_string

    def test_read_back_without_a_warning(self, made, tmp_path):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            back = pydicom.dcmread(write_object(made, tmp_path / "x.dcm"))
            assert np.array_equal(back.pixel_array, breast())
            assert back == made


def test_keywords_that_pydicom_2_4_knows():
    sources = Path(bundle.dicom.__file__).parent.glob("*.py")
    words = {word for path in sources for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}
    assert "ContributionDateTime" in words
    assert not words & set(NEW_KEYWORDS.split()[9:])
