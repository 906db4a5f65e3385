"""Single files of exams in real on-disk formats: mammograms in every transfer syntax, lesion maps, damaged copies."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import imagecodecs
import jpeg_ls
import numpy as np
import pydicom
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from pydicom.uid import generate_uid
from scipy import ndimage

SIZE = (128, 107)
SPACING = (0.1, 0.12)  # (row, column) in mm, unequal so that a swap shows
WINDOWS = {"LE": (2360, 900), "DES": (2085, 265), "HE": (2360, 900)}
GE_TYPES = {
    "LE": ["ORIGINAL", "PRIMARY", "", "LOW_ENERGY"],
    "DES": ["DERIVED", "PRIMARY", "", "RECOMBINED"],
    "HE": ["ORIGINAL", "PRIMARY", "", "HIGH_ENERGY"],
}
SYNTAXES = {
    "implicit": uid.ImplicitVRLittleEndian,
    "big endian": uid.ExplicitVRBigEndian,
    "deflated": uid.DeflatedExplicitVRLittleEndian,
    "jpeg lossless 57": uid.JPEGLossless,
    "jpeg lossless 70": uid.JPEGLosslessSV1,
    "jpeg-ls 80": uid.JPEGLSLossless,
    "jpeg 2000 90": uid.JPEG2000Lossless,
    "rle": uid.RLELossless,
}


class Exposure(NamedTuple):
    le: np.ndarray  # (H, W) uint16, 12 bit
    des: np.ndarray
    lesion: np.ndarray  # (H, W) bool


@lru_cache(maxsize=64)
def make_exposure(seed: int, laterality: str = "L", size: tuple[int, int] = SIZE) -> Exposure:
    """A half-ellipse with smooth texture on black air, chest wall left for L, right for R; its lesion is bright in DES.

    The lesion lies so near to the chest wall that a map mirrored left to right lies in the air.
    """
    rng = np.random.default_rng([seed, *size, ord(laterality)])
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    breast = ((rows - 0.5 * height) / (0.42 * height)) ** 2 + (columns / (0.6 * width)) ** 2 < 1
    textures = []
    for _ in range(2):  # coarse noise enlarged: milliseconds even for large images
        noise = ndimage.zoom(rng.normal(size=(18, 15)), (height / 18, width / 15), order=1)[:height, :width]
        textures.append((noise - noise.min()) / np.ptp(noise))
    at = height * rng.uniform(0.4, 0.6), width * rng.uniform(0.14, 0.2)
    radius = min(size) * rng.uniform(0.06, 0.09)
    lesion = ((rows - at[0]) / 1.2) ** 2 + (columns - at[1]) ** 2 < radius**2
    grain = rng.integers(0, 12, size)
    le = np.where(breast, 2000 + 640 * textures[0] + 60 * lesion + grain, 0)
    des = np.where(breast, 1990 + 60 * textures[1] + 110 * lesion + grain, 0)
    step = -1 if laterality == "R" else 1
    arrays = [np.ascontiguousarray(array[:, ::step]) for array in (le.astype(np.uint16), des.astype(np.uint16), lesion)]
    for array in arrays:
        array.setflags(write=False)
    return Exposure(*arrays)


def encode(pixels: np.ndarray, syntax: str, bits: int, loss: int = 2) -> bytes:
    """One frame as a codestream; ``loss`` is the error that near-lossless JPEG-LS allows. DCT is of quality 90.

    Raises:
        ValueError: for a transfer syntax that is not encapsulated, or not known here.
    """
    unsigned = pixels.view(f"u{pixels.itemsize}") & np.array(2**bits - 1, f"u{pixels.itemsize}")
    rows, columns = pixels.shape
    if syntax != uid.RLELossless and bits <= 8:  # a codestream's depth is that of what is stored, not allocated
        unsigned, pixels = unsigned.astype(np.uint8), pixels.astype(f"{pixels.dtype.kind}1")
    if syntax in (uid.JPEGLossless, uid.JPEGLosslessSV1):
        predictor = 6 if syntax == uid.JPEGLossless else 1
        return imagecodecs.jpeg8_encode(unsigned, lossless=True, predictor=predictor, bitspersample=bits)
    if syntax in (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit):
        return imagecodecs.jpeg8_encode(unsigned, level=90, bitspersample=bits)
    if syntax in (uid.JPEGLSLossless, uid.JPEGLSNearLossless):
        near = loss if syntax == uid.JPEGLSNearLossless else 0
        return bytes(jpeg_ls.encode_buffer(unsigned.tobytes(), rows, columns, 1, bits, near, 0))
    if syntax in (uid.JPEG2000Lossless, uid.JPEG2000):
        exact = syntax == uid.JPEG2000Lossless
        level = None if exact else 55  # dB
        return imagecodecs.jpeg2k_encode(pixels, level, codecformat="J2K", bitspersample=bits, reversible=exact)
    if syntax == uid.RLELossless:
        options: dict[str, Any] = {"rows": rows, "columns": columns, "samples_per_pixel": 1, "number_of_frames": 1}
        options |= {
            "bits_allocated": 8 * pixels.itemsize,
            "bits_stored": 8 * pixels.itemsize,
            "pixel_representation": 0,
        }
        options["photometric_interpretation"] = "MONOCHROME2"
        return get_encoder(syntax).encode(unsigned, encoding_plugin="pydicom", **options)
    raise ValueError(f"transfer syntax {syntax}: expected one that is encapsulated and known to exam_tree.encode.")


def dataset(**tags: Any) -> Dataset:
    """A dataset by keywords; a value of None leaves the entry out."""
    made = Dataset()
    for keyword, value in tags.items():
        if value is not None:
            setattr(made, keyword, value)
    return made


def write_image(
    path: Path,
    pixels: np.ndarray | None,
    syntax: str = uid.ExplicitVRLittleEndian,
    bits: int = 12,
    frame: bytes | None = None,
    private: Mapping[int, str] | None = None,
    **tags: Any,
) -> Path:
    """Write one MG object of any transfer syntax; ``tags`` replace entries by keyword, None removes one.

    Args:
        path: the file; its folders are made.
        pixels: (H, W), several frames (N, H, W) or colour (H, W, 3) as stored; None for an object without pixels.
        frame: a codestream instead of one made by :func:`encode`.
        private: elements of GE's private block (0045,xx), for instance ``{0x1B: "LCC"}``.
    """
    header: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": uid.DigitalMammographyXRayImageStorageForPresentation,
        "Modality": "MG",
        "PresentationIntentType": "FOR PRESENTATION",
    }
    if pixels is not None:
        colour = pixels.ndim == 3 and pixels.shape[-1] == 3
        header |= {
            "SamplesPerPixel": 3 if colour else 1,
            "PlanarConfiguration": 0 if colour else None,
            "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
            "NumberOfFrames": len(pixels) if pixels.ndim == 3 and not colour else None,
            "Rows": pixels.shape[0 if colour else -2],
            "Columns": pixels.shape[1 if colour else -1],
            "BitsAllocated": 8 * pixels.itemsize,
            "BitsStored": bits,
            "HighBit": bits - 1,
            "PixelRepresentation": int(pixels.dtype.kind == "i"),
            "ImagerPixelSpacing": list(SPACING),
        }
    sources = [path.name, *(f"{key}={value}" for key, value in sorted(tags.items()))]
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        header[keyword] = generate_uid(entropy_srcs=[keyword, *sources])
    ds = dataset(**{**header, **tags})
    for offset, value in (private or {}).items():
        ds.private_block(0x0045, "GEMS_SENO_02", create=True).add_new(offset, "LO", value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = uid.UID(syntax)
    if pixels is not None and "PixelData" not in ds:
        if ds.file_meta.TransferSyntaxUID.is_encapsulated:
            ds.PixelData = encapsulate([frame or encode(pixels, syntax, bits)])
            ds["PixelData"].VR = "OB"
        else:
            order = ">" if syntax == uid.ExplicitVRBigEndian else "<"
            raw = pixels.astype(pixels.dtype.newbyteorder(order), copy=False).tobytes()
            ds.PixelData = raw + b"\0" * (len(raw) % 2)
            ds["PixelData"].VR = "OW" if pixels.itemsize > 1 else "OB"
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def write_nrrd(path: Path, array: np.ndarray, *lines: str) -> Path:
    """NRRD, gzip-compressed, axes fastest first; pynrrd would write the time of day into it."""
    names = {"u1": "uchar", "u2": "ushort"}
    head = ["NRRD0005", f"type: {names[array.dtype.str[1:]]}", f"dimension: {array.ndim}"]
    head += [f"sizes: {' '.join(map(str, array.shape))}", "endian: little", "encoding: gzip", *lines]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join([*head, "", ""]).encode() + gzip.compress(array.tobytes(order="F"), mtime=0))
    return path


def write_slicer_map(
    path: Path, layers: Sequence[np.ndarray], crop: bool = True, space: str = "left-posterior-superior"
) -> Path:
    """A ``.seg.nrrd`` of 3D Slicer on an MG image: layer n holds label n + 1; several layers come as a ``list`` axis.

    Args:
        layers: (H, W) bool each, on the image's grid.
        crop: keep the extent of the segments alone, and say by the origin where it lies.
        space: "left-posterior-superior", or "right-anterior-superior" with x and y negated.
    """
    rows, columns = (np.flatnonzero(np.any(layers, axis=(0, axis))) for axis in (2, 1))
    top, left = (int(rows[0]), int(columns[0])) if crop else (0, 0)
    bottom, right = (int(rows[-1]) + 1, int(columns[-1]) + 1) if crop else layers[0].shape
    labels = np.stack([number * layer[top:bottom, left:right].T for number, layer in enumerate(layers, 1)])
    array = labels.astype(np.uint8)[..., None]
    sign = -1 if space.startswith("right") else 1
    row_step, column_step = (sign * step for step in SPACING)
    several = len(layers) > 1
    lines = [f"space: {space}", f"kinds: {'list ' * several}domain domain domain"]
    lines += [f"space directions: {'none ' * several}({column_step},0,0) (0,{row_step},0) (0,0,1)"]
    lines += [f"space origin: ({left * column_step:.6f},{top * row_step:.6f},0)"]
    for number in range(len(layers)):
        lines += [f"Segment{number}_LabelValue:={number + 1}", f"Segment{number}_Layer:={number}"]
    return write_nrrd(path, array if several else array[0], *lines)


def write_dicom_seg(path: Path, image: Path, lesion: np.ndarray) -> Path:
    """A DICOM SEG of one image by highdicom, its identifiers and times fixed."""
    from highdicom.content import AlgorithmIdentificationSequence
    from highdicom.seg import Segmentation, SegmentDescription
    from pydicom.sr.codedict import codes

    algorithm = AlgorithmIdentificationSequence("by hand", codes.DCM.ArtificialIntelligence, "1")
    description = SegmentDescription(
        1, "lesion", codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Lesion, "SEMIAUTOMATIC", algorithm
    )
    uids = [generate_uid(entropy_srcs=[path.name, str(number)]) for number in range(3)]
    seg = Segmentation(
        [pydicom.dcmread(image)], lesion[None].astype(np.uint8), "BINARY", [description], uids[0], 100, uids[1], 1,
        "maker", "model", "1", "0",
    )  # fmt: skip
    fixed = {"TM": "120000", "DA": "20240506", "DT": "20240506120000"}
    for element in seg.iterall():
        if element.VR in fixed and element.value:  # highdicom writes the time of day
            element.value = fixed[element.VR]
    organisation = seg.DimensionOrganizationSequence[0]
    organisation.DimensionOrganizationUID = uids[2]
    for index in seg.DimensionIndexSequence:
        index.DimensionOrganizationUID = uids[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    seg.save_as(path)
    return path


def corrupt(paths: Iterable[Path], folder: Path, rng: np.random.Generator) -> list[tuple[Path, str]]:
    """Damage one copy of each file below ``folder``: bytes flipped, the end cut off, or a whole element removed.

    Returns:
        (copy, what was done to it), in the order of ``paths``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = []
    for number, path in enumerate(paths):
        copy, raw = folder / f"{number:04d}_{path.name}", bytearray(path.read_bytes())
        what = str(rng.choice(["flipped", "cut", "tag removed"])) if raw else "empty"
        if what == "tag removed":
            try:
                ds = pydicom.dcmread(path)
                element = list(ds)[int(rng.integers(len(ds)))]
                del ds[element.tag]
                ds.save_as(copy)
                done.append((copy, f"{element.keyword or element.tag} removed"))
                continue
            except Exception:  # not DICOM: it is cut instead
                what = "cut"
        if what == "flipped":
            for at in rng.integers(len(raw), size=int(rng.integers(1, 30))):
                raw[at] ^= int(rng.integers(1, 256))
        elif what == "cut":
            del raw[int(rng.integers(len(raw))) :]
        copy.write_bytes(raw)
        done.append((copy, what))
    return done


def windowed(pixels: np.ndarray, taken_for: str) -> np.ndarray:
    """Pixels through the window of their energy, center -+ width / 2, as 8 bit: what the JPEG form holds."""
    center, width = WINDOWS[taken_for]
    return np.rint((np.clip(pixels / width - center / width + 0.5, 0, 1)) * 255).astype(np.uint8)
