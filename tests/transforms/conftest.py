"""Mammograms small enough to reason about, in every format that the reader claims to know."""

import os
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

DIGITAL_MAMMOGRAPHY = "1.2.840.10008.5.1.4.1.1.1.2"


def _write_dicom(path, image, bits=12, syntax=None, **elements):
    """A 16-bit DICOM of (H, W); ``syntax`` names a lossless gdcm encoder, ``elements`` override header entries."""
    ds = pydicom.Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = DIGITAL_MAMMOGRAPHY
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = generate_uid(), generate_uid(), "MG"
    ds.Rows, ds.Columns = image.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, bits, bits - 1
    ds.PixelRepresentation = int(image.dtype.kind == "i")
    ds.PixelData = image.astype(image.dtype.newbyteorder("<")).tobytes()
    for keyword, value in elements.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    ds.preamble = b"\0" * 128
    ds.save_as(path)
    if syntax:
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(path))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
    return path


@pytest.fixture
def write_dicom():
    return _write_dicom


@pytest.fixture
def mammogram():
    """(37, 23) 12-bit left breast: bright at the left edge, air on the right, nothing symmetric."""
    rows, columns = np.mgrid[:37, :23]
    inside = (columns / 16) ** 2 + ((rows - 15) / 14) ** 2 < 1
    texture = np.random.default_rng(7).integers(0, 900, (37, 23))
    return np.where(inside, 1800 + 40 * rows - 30 * columns + texture, 0).clip(0, 4095).astype(np.uint16)


@pytest.fixture
def cdd_cesm():
    """Folder of the real 512-pixel CDD-CESM pairs."""
    shared = Path(os.environ.get("CESM_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
    folder = shared / "cdd_cesm_512"
    if not folder.is_dir():
        pytest.skip(f"no real CDD-CESM images in {folder}: set CESM_SHARED_DATA to a folder that holds cdd_cesm_512")
    return folder
