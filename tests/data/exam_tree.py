"""Exam trees in real on-disk formats, with the truth about every file: what an importer of CESM data must find.

``write_traps`` makes one tree with everything that goes wrong in hospitals, ``write_clean_study`` one study in four
forms, ``write_many`` a large one for speed, ``corrupt`` damages copies. Same input, same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import nibabel
import numpy as np
import pydicom
from exam_images import (
    GE_TYPES,
    SIZE,
    SPACING,
    SYNTAXES,
    WINDOWS,
    Exposure,
    dataset,
    encode,
    make_exposure,
    windowed,
    write_dicom_seg,
    write_image,
    write_nrrd,
    write_slicer_map,
)
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import generate_uid
from scipy import ndimage


class Person(NamedTuple):
    """Whom the images are of; none of it may be found in what an importer writes."""

    name: str
    id: str
    born: str
    studied: str = "20240506"

    @property
    def words(self) -> tuple[str, ...]:
        return (*self.name.split("^"), self.id, self.born, self.studied)


PEOPLE = (
    Person("ZWETSCHGE^ANNELIESE", "HOSP-774411", "19510203"),
    Person("LÜDENSCHEIDT^ÉLODIE", "HOSP-774412", "19620314"),
    Person("DELL'AQUILA DI SOTTO^MARIA PIA", "HOSP-774413", "19730425", "20231117"),
)


@dataclass(frozen=True)
class Truth:
    """About one file; ``reason`` is a pattern (``re.search``, any case), "" for what is used or left out in silence."""

    path: str  # relative to the root, as it lies on disk
    taken_for: str = ""  # LE | DES | HE | other | unknown | "" for what is no whole object
    rule: str = ""  # what decides: image type | processing code | description | KVP | override | copy
    partner: str | None = None  # path of the image it must be paired with
    reason: str = ""
    laterality: str = ""
    view: str = ""
    patient: str = ""  # the raw Patient ID

    @property
    def used(self) -> bool:
        return self.partner is not None


@dataclass(frozen=True, eq=False)
class MapTruth:
    """About one lesion map: the image it belongs to (None: to none, ``reason`` says why) and the map on its grid."""

    path: str  # relative to the folder of the maps
    image: str | None
    seg: np.ndarray | None  # (H, W) bool
    rule: str = "file name"  # sop uid | file name | folder
    reason: str = ""


@dataclass
class ExamTree:
    """A written tree. ``missing`` are files that the DICOMDIR names and the disk lacks (as the DICOMDIR names them)."""

    root: Path
    masks: Path | None = None
    overrides: Path | None = None
    truth: list[Truth] = field(default_factory=list)
    maps: list[MapTruth] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    people: tuple[Person, ...] = ()

    def of(self, path: str) -> Truth:
        return next(truth for truth in self.truth if truth.path == path)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(LE, DES) relative to the root, in order of their paths."""
        return sorted((truth.path, truth.partner) for truth in self.truth if truth.taken_for == "LE" and truth.partner)

    @property
    def identity(self) -> set[str]:
        """Words that no output may hold."""
        return {word for person in self.people for word in person.words}


class _Tree:
    """Writes the files of a tree and notes the truth about each."""

    def __init__(self, root: Path, masks: Path | None, size: tuple[int, int], people: tuple[Person, ...]) -> None:
        self.made = ExamTree(root, masks, people=people)
        self.size, self.number = size, 0

    def image(
        self, folder: str, taken_for: str, pixels: np.ndarray | None, person: Person, study: str = "1", name: str = "",
        rule: str = "image type", reason: str = "", syntax: str = uid.ExplicitVRLittleEndian, bits: int = 12,
        frame: bytes | None = None, private: Mapping[int, str] | None = None, **tags: Any,
    ) -> str:  # fmt: skip
        """Write an image with all that GE says of it, and return its path."""
        self.number += 1
        minute, second = divmod(self.number, 60)
        path = f"{folder}/{name or f'IM{self.number:06d}'}"
        if (self.made.root / path).exists():
            raise ValueError(f"{path} is written already: expected another name.")
        center, width = WINDOWS.get(taken_for, (None, None))
        header: dict[str, Any] = {
            "PatientName": person.name,
            "PatientID": person.id,
            "PatientBirthDate": person.born,
            "PatientSex": "F",
            "StudyDate": person.studied,
            "AcquisitionDate": person.studied,
            "StudyTime": "093000",
            "StudyID": study,
            "AccessionNumber": f"ACC-{person.id[-4:]}-{study}",
            "AcquisitionTime": f"{10 + minute // 60:02d}{minute % 60:02d}{second:02d}",
            "InstanceNumber": self.number,
            "SeriesNumber": 1,
            "StudyInstanceUID": generate_uid(entropy_srcs=["study", person.id, study]),
            "SeriesInstanceUID": generate_uid(entropy_srcs=["series", person.id, study, taken_for]),
            "SOPInstanceUID": generate_uid(entropy_srcs=["object", path]),
            "Manufacturer": "GE MEDICAL SYSTEMS",
            "ImageType": GE_TYPES.get(taken_for),
            "WindowCenter": center,
            "WindowWidth": width,
        }
        header |= tags
        write_image(self.made.root / path, pixels, syntax, bits, frame, private, **header)
        side = str(tags.get("ImageLaterality") or tags.get("Laterality") or "")
        view = str(tags.get("ViewPosition") or "")
        truth = Truth(path, taken_for, rule if taken_for in WINDOWS else "", None, reason, side, view, person.id)
        self.made.truth.append(truth)
        return path

    def exposure(self, laterality: str) -> Exposure:
        return make_exposure(self.number, laterality, self.size)

    def pair(
        self, folder: str, person: Person, laterality: str, view: str, study: str = "1",
        le: dict[str, Any] | None = None, des: dict[str, Any] | None = None, exposure: Exposure | None = None,
        **both: Any,
    ) -> tuple[str, str, Exposure]:  # fmt: skip
        """Write LE and DES of one exposure; ``le`` and ``des`` are for one of them, ``both`` for each."""
        shown = exposure or self.exposure(laterality)
        shared = {"ImageLaterality": laterality, "ViewPosition": view, **both}
        one = self.image(folder, "LE", shown.le, person, study, **{**shared, "KVP": "29", **(le or {})})
        two = self.image(folder, "DES", shown.des, person, study, **{**shared, "KVP": "49", **(des or {})})
        self.note(one, partner=two, laterality=laterality, view=view)
        self.note(two, partner=one, laterality=laterality, view=view)
        return one, two, shown

    def note(self, path: str, /, **changes: Any) -> None:
        truth = self.made.truth
        at = next(number for number, entry in enumerate(truth) if entry.path == path)
        truth[at] = replace(truth[at], **changes)

    def litter(self, path: str, content: bytes, reason: str) -> None:
        place = self.made.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        self.made.truth.append(Truth(path, reason=reason))

    def lesion_map(self, form: str, path: str, image: str, seg: np.ndarray, rule: str, other: np.ndarray | None = None):
        """Write a map in one of its forms; ``other`` is a second, overlapping lesion for the layered one."""
        assert self.made.masks is not None
        place = self.made.masks / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if form in ("cropped", "ras", "layered"):
            layers = [seg] if other is None else [seg, other]
            write_slicer_map(
                place, layers, space="right-anterior-superior" if form == "ras" else "left-posterior-superior"
            )
            seg = np.any(layers, axis=0)
        elif form == "nifti":
            affine = np.diag([-SPACING[1], -SPACING[0], 1, 1])
            nibabel.save(nibabel.Nifti1Image(seg.T[..., None].astype(np.uint8), affine), place)
        elif form == "nrrd":
            write_nrrd(place, seg.T.astype(np.uint8))
        elif form == "png":
            Image.fromarray(seg.astype(np.uint8) * 255).save(place)
        else:
            write_dicom_seg(place, self.made.root / image, seg)
        self.made.maps.append(MapTruth(path, image, seg, rule))

    def to_medium(self, listed: Iterable[str]) -> dict[str, str]:
        """Move files to a DICOMDIR medium at the root: upper case in the DICOMDIR, lower case on disk.

        Returns:
            where each of ``listed`` lies now.
        """
        root, listed = self.made.root, list(listed)
        medium = FileSet()
        medium.ID, medium.UID = "EXAM", generate_uid(entropy_srcs=["medium", *listed])
        for path in listed:
            medium.add(root / path)
        medium.write(root)
        medium._stage["t"].cleanup()  # else it warns when it is collected
        places = {one.SOPInstanceUID: Path(one.path).relative_to(root).as_posix().lower() for one in medium}
        moved = {}
        for path in listed:
            moved[path] = places[pydicom.dcmread(root / path, stop_before_pixels=True).SOPInstanceUID]
            (root / path).unlink()
        for top in root.glob("PT*"):
            for here, folders, files in os.walk(top, topdown=False):
                for name in (*files, *folders):
                    os.rename(f"{here}/{name}", f"{here}/{name.lower()}")
            top.rename(root / top.name.lower())
        self.made.truth = [
            replace(
                truth, path=moved.get(truth.path, truth.path), partner=moved.get(truth.partner or "", truth.partner)
            )
            for truth in self.made.truth
        ]
        self.made.truth.append(Truth("DICOMDIR"))
        return moved


def _code(value: str, scheme: str, meaning: str) -> list[Dataset]:
    return [dataset(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)]


def _write_medium(tree: _Tree, person: Person) -> None:
    """A DICOMDIR medium with an HE image between the pairs, one file too many and one too few."""
    folder, root = "medium", tree.made.root
    tree.pair(folder, person, "L", "CC")
    high = {"reason": "high.energy", "ImageLaterality": "L", "ViewPosition": "CC", "KVP": "49"}
    tree.image(folder, "HE", tree.exposure("L").le, person, **high)
    tree.pair(folder, person, "L", "MLO")
    tree.pair(folder, person, "R", "CC")
    lost, alone, _ = tree.pair(folder, person, "R", "MLO")
    le, unlisted, _ = tree.pair(folder, person, "L", "CC", study="2")
    moved = tree.to_medium(truth.path for truth in list(tree.made.truth) if truth.path != unlisted)
    extra = f"{Path(moved[le]).parent.as_posix()}/extra"  # found by the walk alone
    (root / unlisted).rename(root / extra)
    (root / folder).rmdir()
    tree.note(unlisted, path=extra)
    tree.note(moved[le], partner=extra)
    (root / moved[lost]).unlink()
    tree.made.truth = [truth for truth in tree.made.truth if truth.path != moved[lost]]
    tree.made.missing.append(moved[lost].upper())
    tree.note(moved[alone], partner=None, reason="no LE")


def _write_two_pairs(tree: _Tree, person: Person) -> None:
    """Two right CC pairs in one study, told apart by source image, by time, or by instance number."""

    def two(folder: str, study: str, order: str, times: Sequence[str | None], numbers: Sequence[int]) -> list[str]:
        """Four images, ``order`` saying which come first; times and numbers are of LE1, LE2, DES1, DES2."""
        shown = [make_exposure(900 + int(study), "R", tree.size), make_exposure(950 + int(study), "R", tree.size)]
        paths = {}
        for which in order.split():
            kind, exposure = which[:-1], shown[int(which[-1]) - 1]
            at = ("LE1", "LE2", "DES1", "DES2").index(which)
            paths[which] = tree.image(
                folder, kind, exposure.le if kind == "LE" else exposure.des, person, study, AcquisitionTime=times[at],
                InstanceNumber=numbers[at], ImageLaterality="R", ViewPosition="CC",
            )  # fmt: skip
        for one in "12":
            tree.note(paths[f"LE{one}"], partner=paths[f"DES{one}"])
            tree.note(paths[f"DES{one}"], partner=paths[f"LE{one}"])
        return [paths[f"{kind}{one}"] for one in "12" for kind in ("LE", "DES")]

    order = "DES2 LE1 DES1 LE2"
    paths = two("two pairs/by source", "1", order, ("100000", "100500", "100501", "100001"), (1, 2, 3, 4))
    for le, des in (paths[:2], paths[2:]):
        source = pydicom.dcmread(tree.made.root / le, stop_before_pixels=True)
        ds = pydicom.dcmread(tree.made.root / des)
        ds.SourceImageSequence = [
            dataset(ReferencedSOPClassUID=source.SOPClassUID, ReferencedSOPInstanceUID=source.SOPInstanceUID)
        ]
        ds.save_as(tree.made.root / des)
    two("two pairs/by time", "2", order, ("100000", "100020", "100015", "100035"), (1, 4, 5, 2))
    two("two pairs/by number", "3", order, (None,) * 4, (1, 5, 2, 6))


def _write_energies(tree: _Tree, person: Person) -> None:
    """Every way in which a header says, or does not say, which energy an image is of."""
    post = ["POST_CONTRAST"]
    tree.pair(
        "énergies/standard", person, "L", "CC", "10",
        le={"ImageType": ["ORIGINAL", "PRIMARY", *post, "", "LOW_ENERGY"]},
        des={"ImageType": ["DERIVED", "PRIMARY", *post, "SUBTRACTION", "LOW_ENERGY"]},
    )  # fmt: skip
    high = {"ImageLaterality": "L", "ViewPosition": "CC", "reason": "high.energy", "study": "10"}
    standard = ["ORIGINAL", "PRIMARY", *post, "", "HIGH_ENERGY"]
    tree.image("énergies/standard", "HE", tree.exposure("L").le, person, **high, ImageType=standard)
    derived = ["DERIVED", "SECONDARY", "", "LOW_ENER"]
    tree.pair("énergies/derived alone", person, "L", "MLO", "10", le={"ImageType": derived})
    le, _, shown = tree.pair("énergies/derived too", person, "R", "MLO", "10")
    time = pydicom.dcmread(tree.made.root / le, stop_before_pixels=True).AcquisitionTime
    side = {"ImageLaterality": "R", "ViewPosition": "MLO", "AcquisitionTime": time}
    reason = "original|derived"
    tree.image("énergies/derived too", "LE", shown.le, person, "10", reason=reason, **side, ImageType=derived)
    plain = {"ImageType": ["ORIGINAL", "PRIMARY"], "KVP": None}
    for study, rule, keyword, words in (
        ("11", "processing code", "AcquisitionDeviceProcessingCode", ("GEMS_FFDM_PV", "GEMS_CESM_1")),
        ("12", "description", "SeriesDescription", ("R CC low energy", "R CC Recombined")),
    ):
        le_only, des_only = ({**plain, "rule": rule, keyword: word} for word in words)
        tree.pair(f"énergies/{rule}", person, "R", "CC", study, le=le_only, des=des_only)
    by_kvp = {**plain, "KVP": "29", "rule": "KVP"}
    recombined = {**plain, "KVP": "49", "rule": "description", "SeriesDescription": "Recombined"}  # goes before its KVP
    tree.pair("énergies/kvp", person, "L", "CC", "13", le=by_kvp, des=recombined)
    high |= {"study": "13", "rule": "KVP", "KVP": "49", "ImageType": ["ORIGINAL", "PRIMARY"]}
    tree.image("énergies/kvp", "HE", tree.exposure("L").le, person, **high)
    unknown = {"ImageType": ["ORIGINAL", "PRIMARY"], "KVP": "40", "rule": "override"}
    settled = tree.pair("énergies/unknown", person, "L", "MLO", "14", le=unknown, des=unknown)
    left = {
        **unknown,
        "reason": "nothing|unknown|not known",
        "ImageLaterality": "R",
        "ViewPosition": "MLO",
        "study": "14",
    }
    tree.image("énergies/unknown", "unknown", tree.exposure("R").le, person, **left)
    tree.made.overrides = tree.made.root.with_name(f"{tree.made.root.name}_overrides.csv")
    rows = ["path,taken_for", *(f"{path},{kind}" for path, kind in zip(settled[:2], ("LE", "DES"), strict=True))]
    tree.made.overrides.write_text("\n".join(rows) + "\n", encoding="utf-8")


def _write_sides(tree: _Tree, person: Person) -> None:
    """Side and view where they stand in no usual place."""
    nothing = {"ImageLaterality": None, "ViewPosition": None, "ViewCodeSequence": None}
    sct = _code("399162004", "SCT", "cranio-caudal")
    srt = _code("R-10226", "SRT", "medio-lateral oblique")
    tree.pair("sides/laterality", person, "L", "CC", "20", **{**nothing, "Laterality": "L", "ViewCodeSequence": sct})
    tree.pair("sides/srt", person, "R", "MLO", "20", **{**nothing, "ImageLaterality": "R", "ViewCodeSequence": srt})
    tree.pair("sides/private", person, "R", "CC", "20", **nothing, private={0x1B: "RCC"})
    for path in tree.pair("sides/other view", person, "L", "ML", "20")[:2]:
        tree.note(path, partner=None, reason=r"\bML\b")


def _write_pixels(tree: _Tree, person: Person) -> None:
    """Transfer syntaxes, photometric interpretations and windows: all of it is used."""
    for number, (name, syntax) in enumerate(SYNTAXES.items(), 30):
        tree.pair(f"pixels/{name}", person, "L", "CC", str(number), syntax=syntax)
    shown = make_exposure(700, "R", tree.size)
    negative = Exposure(4095 - shown.le, 4095 - shown.des, shown.lesion)
    windows = [{"WindowCenter": 4095 - center, "WindowWidth": width} for center, width in WINDOWS.values()]
    tree.pair(
        "pixels/monochrome1", person, "R", "CC", "40", le=windows[0], des=windows[1], exposure=negative,
        PhotometricInterpretation="MONOCHROME1",
    )  # fmt: skip
    tree.pair("pixels/no window", person, "R", "CC", "41", WindowCenter=None, WindowWidth=None)
    several = [{"WindowCenter": [center, 1], "WindowWidth": [width, 2]} for center, width in WINDOWS.values()]
    tree.pair("pixels/several windows", person, "R", "CC", "42", le=several[0], des=several[1])
    table = dataset(LUTDescriptor=[4096, 0, 12], LUTExplanation="NORMAL")
    table.add_new(0x00283006, "OW", np.arange(4096, dtype="<u2")[::-1].tobytes())
    tree.pair("pixels/voi lut", person, "R", "CC", "43", VOILUTSequence=DicomSequence([table]))


def _write_others(tree: _Tree, person: Person) -> None:
    """What is no CESM image, has no partner, or is broken."""
    folder, pixels = "others", tree.exposure("L").le
    side = {"person": person, "study": "50", "ImageLaterality": "L", "ViewPosition": "CC"}
    grey = (pixels >> 4).astype(np.uint8)
    frames = np.stack([pixels] * 3)
    raw = {"PresentationIntentType": "FOR PROCESSING", "PixelIntensityRelationship": "LIN"}
    raw |= {"SOPClassUID": uid.DigitalMammographyXRayImageStorageForProcessing, "ImageType": GE_TYPES["LE"]}
    tree.image(folder, "other", pixels, name="raw.dcm", reason="FOR PROCESSING", **raw, **side)
    tomo = {"SOPClassUID": uid.BreastTomosynthesisImageStorage, "ImageType": GE_TYPES["LE"]}
    tree.image(folder, "other", frames, name="tomo", reason="tomosynthesis", **tomo, **side)
    tree.image(folder, "other", frames, name="frames", reason="frames", ImageType=GE_TYPES["LE"], **side)
    colour = {"SOPClassUID": uid.SecondaryCaptureImageStorage, "ImageType": ["DERIVED", "SECONDARY", "", "RECOMBINED"]}
    tree.image(folder, "other", np.stack([grey] * 3, -1), bits=8, name="colour", reason="colour", **colour, **side)
    for modality, sop_class in (("US", uid.UltrasoundImageStorage), ("MR", uid.MRImageStorage)):
        tree.image(
            folder,
            "other",
            grey,
            bits=8,
            name=modality,
            reason=modality,
            Modality=modality,
            SOPClassUID=sop_class,
            **side,
        )
    report = {"Modality": "SR", "SOPClassUID": uid.ComprehensiveSRStorage}
    tree.image(folder, "other", None, name="report", reason=r"\bSR\b|no pixel", **report, **side)
    synthetic = {"SyntheticData": "YES", "ImageType": GE_TYPES["DES"]}
    tree.image(folder, "other", pixels, name="virtual.dcm", reason="synthetic", **synthetic, **side)

    shown = make_exposure(800, "R", tree.size)
    side |= {"ImageLaterality": "R", "study": "51"}
    tree.image("others/alone", "DES", shown.des, reason="no LE", **side)
    tree.image("others/alone", "LE", shown.le, reason="no DES", **{**side, "ViewPosition": "MLO"})
    side |= {"study": "52"}
    sizes = "no DES|rows|size"
    tree.image("others/sizes", "LE", shown.le, reason=sizes, **side)
    tree.image("others/sizes", "DES", shown.des[:-3], reason="no LE|rows|size", **side)
    side |= {"study": "53"}
    broken = "truncated|pixel|could not be read"
    tree.image("others/broken", "LE", shown.le, name="le.dcm", reason="partner", **side)
    path = tree.image("others/broken", "DES", shown.des, name="truncated.dcm", reason=broken, **side)
    whole = (tree.made.root / path).read_bytes()
    (tree.made.root / path).write_bytes(whole[: len(whole) - shown.des.nbytes // 2])
    tree.litter("others/broken/text.dcm", b"no DICOM at all\n", "not DICOM|lacks 'DICM'")
    tree.litter("others/broken/empty.dcm", b"", "empty|not DICOM|lacks 'DICM'")
    tree.litter("others/README.txt", b"Exported for research.\n", "not DICOM")

    deep = "others/Brust rechts – Übersicht/a b/c/d/e/f/g"
    le, des, _ = tree.pair(deep, person, "R", "MLO", "54", le={"name": "Aufnahme 1 (é).dcm"}, des={"name": "ö ü"})
    copy, first = (
        f"{deep}/z copy of 1.dcm",
        "others/0 cut copy.dcm",
    )  # the last and the first of the same object's names
    tree.litter(copy, (tree.made.root / le).read_bytes(), "copy|same|twice|more than once")
    tree.note(copy, taken_for="other", rule="copy", laterality="R", view="MLO", patient=person.id)
    whole = (tree.made.root / des).read_bytes()
    header = whole[: len(whole) - shown.des.nbytes]  # half of it holds the SOP Instance UID: it must not hide the whole
    broken = "cut|end|could not be read|truncated|no pixel|lacks|not given|missing|copy|same"
    tree.litter(first, header[: len(header) // 2], broken)
    (tree.made.root / "others/loop").symlink_to("..", target_is_directory=True)


def _write_maps(tree: _Tree, person: Person) -> None:
    """Eight pairs with a map in every form, matched in every way; a mirrored map, one of nothing, one of two pairs."""
    sides = (("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"))
    pairs = [tree.pair(f"maps/{study}", person, *side, study) for study in ("60", "61") for side in sides]
    forms = ["cropped", "layered", "ras", "nifti", "nrrd", "png", "seg"]
    endings = [".seg.nrrd", ".seg.nrrd", ".seg.nrrd", ".nii.gz", ".nrrd", ".png", ".dcm"]
    for number, (form, ending, (_, des, shown)) in enumerate(zip(forms, endings, pairs, strict=False)):
        folder, stem, rule = Path(des).parent.as_posix(), Path(des).name, "file name"
        other = None
        if form == "layered":
            other, stem = ndimage.shift(shown.lesion, (3, 2), order=0), f"{stem}_seg"
        elif form == "nifti":
            stem, rule = "R_MLO lesion", "folder"
        elif form == "nrrd":
            stem = str(pydicom.dcmread(tree.made.root / des, stop_before_pixels=True).SOPInstanceUID)
            folder, rule = "by uid", "sop uid"
        elif form == "seg":
            folder, stem, rule = "segmentations", f"SEG{number}", "sop uid"
        tree.lesion_map(form, f"{folder}/{stem}{ending}", des, shown.lesion, rule, other)
    _, des, shown = pairs[7]
    tree.lesion_map("png", f"{des}.png", des, np.ascontiguousarray(shown.lesion[:, ::-1]), "file name")
    tree.lesion_map("png", "elsewhere/P999.png", des, shown.lesion, "")
    tree.lesion_map("png", "two pairs/by time/RCC.png", des, shown.lesion, "folder")
    *sound, mirrored, nothing, ambiguous = tree.made.maps
    tree.made.maps = [
        *sound,
        replace(mirrored, seg=None, reason="mirrored"),
        replace(nothing, image=None, seg=None, reason="no image|belongs to|match"),
        replace(ambiguous, image=None, seg=None, reason="ambiguous|several|more than one"),
    ]


def write_traps(root: Path, size: tuple[int, int] = SIZE) -> ExamTree:
    """Write every trap in one tree below ``root``; the maps and the overrides lie beside it.

    Names, folders and studies tell the traps apart; each person of ``PEOPLE`` has several studies.
    """
    root.mkdir(parents=True, exist_ok=True)
    tree = _Tree(root, root.with_name(f"{root.name}_masks"), size, PEOPLE)
    _write_medium(tree, PEOPLE[0])
    _write_two_pairs(tree, PEOPLE[0])
    _write_energies(tree, PEOPLE[1])
    _write_sides(tree, PEOPLE[1])
    _write_pixels(tree, PEOPLE[2])
    _write_others(tree, PEOPLE[2])
    _write_maps(tree, PEOPLE[1])
    tree.made.truth.sort(key=lambda truth: truth.path)
    return tree.made


def _clean_cases(patients: int) -> list[tuple[int, str, str, int]]:
    """(patient, side, view, repeat); the first patient has a second right CC pair."""
    views = (("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"))
    cases = [(patient, *side, 0) for patient in range(1, patients + 1) for side in views]
    cases.insert(3, (1, "R", "CC", 2))
    return cases


def write_clean_study(
    root: Path, form: str = "folder", patients: int = 4, size: tuple[int, int] = SIZE, separator: str = "\t"
) -> ExamTree:
    """Write the same study as a DICOMDIR medium, a folder of DICOM files, NRRD of CESM@UCBM, or windowed 8-bit JPEG.

    Every second exposure has a lesion map: ``.seg.nrrd`` in ``<root>_masks``, for JPEG a PNG below ``root/masks``.

    Args:
        form: "dicomdir", "folder", "nrrd" or "jpeg".
        separator: between the columns of the NRRD form's index file.
    """
    if form not in ("dicomdir", "folder", "nrrd", "jpeg"):
        raise ValueError(f"form is {form!r}, expected 'dicomdir', 'folder', 'nrrd' or 'jpeg'.")
    root.mkdir(parents=True, exist_ok=True)
    masks = root / "masks" if form == "jpeg" else root.with_name(f"{root.name}_masks")
    people = [Person(f"P{number}^CLEAN", f"P{number}", f"195{number % 10}0101") for number in range(1, patients + 1)]
    tree = _Tree(root, masks, size, tuple(people))
    lesions = []
    index = ["id img_x img_y r_l wc_x ww_x wc_y ww_y".replace(" ", separator)]
    for number, (patient, side, view, repeat) in enumerate(_clean_cases(patients)):
        shown = make_exposure(number, side, size)
        if form in ("dicomdir", "folder"):
            folder = "medium" if form == "dicomdir" else f"P{patient}"
            le, des, _ = tree.pair(folder, people[patient - 1], side, view, exposure=shown)
        else:
            if form == "nrrd":
                stem = f"P{patient}_{20 + number}_{side}{view}"
                le, des = f"Low Energy/{stem}_LOW_ENERGY.nrrd", f"Recombined/{stem}_RECOMBINED.nrrd"
                row = (stem, le, des, side, *WINDOWS["LE"], *WINDOWS["DES"])
                index.append(separator.join(map(str, row)))
            else:
                end = f"{view}{f'_{repeat}' if repeat else ''}.jpg"
                le, des = f"low/P{patient}_{side}_DM_{end}", f"subtracted/P{patient}_{side}_CM_{end}"
            for kind, path, other, pixels in (("LE", le, des, shown.le), ("DES", des, le, shown.des)):
                (root / path).parent.mkdir(exist_ok=True)
                if form == "nrrd":
                    write_nrrd(root / path, pixels.T)
                else:
                    Image.fromarray(windowed(pixels, kind)).save(root / path, quality=100)
                tree.made.truth.append(Truth(path, kind, "file name", other, "", side, view, f"P{patient}"))
        if number % 2 == 0:
            lesions.append((des, shown.lesion))
    if form == "nrrd":
        (root / "index.txt").write_text("\n".join(index) + "\n", encoding="utf-8")
        tree.made.truth.append(Truth("index.txt"))
    moved = tree.to_medium([truth.path for truth in list(tree.made.truth)]) if form == "dicomdir" else {}
    for des, lesion in lesions:
        place = Path(moved.get(des, des))
        name = f"{place.stem}.png" if form == "jpeg" else f"{place.with_suffix('').as_posix()}.seg.nrrd"
        tree.lesion_map("png" if form == "jpeg" else "cropped", name, place.as_posix(), lesion, "file name")
    if form == "dicomdir":
        (root / "medium").rmdir()
    tree.made.truth.sort(key=lambda truth: truth.path)
    return tree.made


def write_many(root: Path, objects: int = 1000, size: int = 512, syntax: str = uid.ExplicitVRLittleEndian) -> ExamTree:
    """Write many MG objects, LE / DES pairs of women with four views each, from the pixels of two exposures."""
    tree = _Tree(root, None, (size, size), ())
    shown = {side: make_exposure(1, side, (size, size)) for side in "LR"}
    frames: dict[int, bytes] = {}
    if uid.UID(syntax).is_encapsulated:
        frames = {id(pixels): encode(pixels, syntax, 12) for one in shown.values() for pixels in (one.le, one.des)}
    for number in range(objects // 2):
        woman, place = divmod(number, 4)
        side, view = "LLRR"[place], ("CC", "MLO")[place % 2]
        person = Person(f"MANY^{woman:04d}", f"M{woman:04d}", "19600101")
        one = shown[side]
        le, des = ({"frame": frames.get(id(pixels))} for pixels in (one.le, one.des))
        tree.pair(f"M{woman:04d}", person, side, view, exposure=one, syntax=syntax, le=le, des=des)
    return tree.made
