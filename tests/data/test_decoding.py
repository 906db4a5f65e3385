"""Every transfer syntax that mammograms come in is read bit for bit as an independent decoder reads it.

The product decodes by gdcm (JPEG by the IJG library, JPEG-LS by CharLS, JPEG 2000 by OpenJPEG) and by pydicom itself
(raw, RLE). References here: gdcm for raw data, libjpeg-turbo and LJ92 for JPEG, imagecodecs for RLE. No free second
implementation of JPEG-LS and JPEG 2000 is at hand: other builds of CharLS and OpenJPEG, the original pixels, and the
example printed in ITU-T T.87 stand in for it.
"""

import importlib.metadata
import importlib.util
import re

import gdcm
import imagecodecs
import numpy as np
import pydicom
import pytest
from exam_images import encode, write_image
from pydicom import uid
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import get_decoder

from bundle.data.images import read_image

RAW = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
LOSSLESS = (uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.RLELossless)
BITS = (8, 10, 12, 14, 16)
DECODERS = {
    uid.JPEGLossless: imagecodecs.ljpeg_decode,
    uid.JPEGLosslessSV1: imagecodecs.ljpeg_decode,
    uid.JPEGLSLossless: imagecodecs.jpegls_decode,
    uid.JPEGLSNearLossless: imagecodecs.jpegls_decode,
    uid.JPEG2000Lossless: imagecodecs.jpeg2k_decode,
    uid.JPEG2000: imagecodecs.jpeg2k_decode,
    uid.JPEGBaseline8Bit: imagecodecs.jpeg8_decode,
    uid.JPEGExtended12Bit: imagecodecs.jpeg8_decode,
}


def ramp(bits, signed=False, shape=(37, 23), dtype=None):
    """A ramp with noise over the whole range that ``bits`` hold, both ends included; odd sides, nothing symmetric."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    top = 2**bits - 1
    noise = np.random.default_rng(bits).integers(0, top // 8, shape)
    values = (0.8 * top * rows * columns / (shape[0] * shape[1])).astype(int) + noise
    values[0, :2] = 0, top
    return (values - signed * 2 ** (bits - 1)).astype(dtype or f"{'ui'[signed]}{1 if bits <= 8 else 2}")


def reference(path):
    """Stored pixels (H, W) of a file, by a decoder that the product does not use for it."""
    ds = pydicom.dcmread(path)
    syntax, bits, shape = ds.file_meta.TransferSyntaxUID, ds.BitsStored, (ds.Rows, ds.Columns)
    unsigned = np.dtype(f"<u{ds.BitsAllocated // 8}")
    if syntax in RAW:
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        assert reader.Read()
        pixels = np.frombuffer(reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape"), unsigned)
    elif syntax == uid.RLELossless:
        pixels = np.frombuffer(imagecodecs.dicomrle_decode(get_frame(ds.PixelData, 0), unsigned), unsigned)
    else:
        pixels = DECODERS[syntax](get_frame(ds.PixelData, 0))
    values = pixels.reshape(shape).astype(int) & (2**bits - 1)
    return values - ((values >> (bits - 1)) << bits) if ds.PixelRepresentation else values


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("syntax", [*RAW, *LOSSLESS], ids=lambda syntax: syntax.name)
def test_lossless(tmp_path, syntax, bits, signed):
    pixels = ramp(bits, signed)
    path = write_image(tmp_path / "a", pixels, syntax, bits)
    np.testing.assert_array_equal(reference(path), pixels)
    np.testing.assert_array_equal(read_image(path)[0], pixels)


@pytest.mark.parametrize("syntax", [*RAW, *LOSSLESS], ids=lambda syntax: syntax.name)
def test_eight_bits_in_words_of_sixteen(tmp_path, syntax):
    pixels = ramp(8, dtype=np.uint16)
    path = write_image(tmp_path / "a", pixels, syntax, 8)
    np.testing.assert_array_equal(reference(path), pixels)
    np.testing.assert_array_equal(read_image(path)[0], pixels)


@pytest.mark.parametrize("syntax", [*RAW, *LOSSLESS], ids=lambda syntax: syntax.name)
def test_monochrome1_is_turned(tmp_path, syntax):
    pixels = ramp(12)
    path = write_image(tmp_path / "a", pixels, syntax, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read_image(path)[0], 4095 - reference(path))
    np.testing.assert_array_equal(read_image(path)[0], 4095 - pixels.astype(int))


@pytest.mark.parametrize("predictor", range(1, 8))
def test_every_predictor_of_jpeg_lossless(tmp_path, predictor):
    """ITU-T T.81, table H.1; process 14 may use any of the seven."""
    pixels = ramp(12)
    frame = imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=predictor, bitspersample=12)
    path = write_image(tmp_path / "a", pixels, uid.JPEGLossless, frame=frame)
    np.testing.assert_array_equal(read_image(path)[0], pixels)
    np.testing.assert_array_equal(reference(path), pixels)


class TestLossy:
    @pytest.mark.parametrize("near", [1, 2, 5])
    @pytest.mark.parametrize("bits", BITS)
    def test_near_lossless_jpeg_ls(self, tmp_path, bits, near):
        """ITU-T T.87: no pixel is off by more than NEAR; the range's ends are kept, so signed pixels cannot wrap."""
        pixels = ramp(bits)
        frame = encode(pixels, uid.JPEGLSNearLossless, bits, loss=near)
        path = write_image(tmp_path / "a", pixels, uid.JPEGLSNearLossless, bits, frame=frame)
        image = read_image(path)[0]
        assert np.abs(image - pixels.astype(int)).max() == near
        np.testing.assert_array_equal(image, reference(path))

    @pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
    @pytest.mark.parametrize("bits", BITS)
    def test_jpeg_2000(self, tmp_path, bits, signed):
        pixels = ramp(bits, signed)
        path = write_image(tmp_path / "a", pixels, uid.JPEG2000, bits)
        image = read_image(path)[0]
        assert 0 < np.abs(image - pixels.astype(int)).max() < 0.02 * 2**bits
        np.testing.assert_array_equal(image, reference(path))

    @pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit], ids=lambda syntax: syntax.name)
    def test_jpeg_of_eight_bits(self, tmp_path, syntax):
        pixels = ramp(8)
        path = write_image(tmp_path / "a", pixels, syntax, 8)
        image = read_image(path)[0]
        assert 0 < np.abs(image - pixels.astype(int)).max() < 20
        np.testing.assert_array_equal(image, reference(path))

    def test_jpeg_of_twelve_bits_is_refused(self, tmp_path):
        """No decoder of the product reads process 4; what matters is that it says so instead of giving wrong pixels."""
        path = write_image(tmp_path / "a", ramp(12), uid.JPEGExtended12Bit)
        with pytest.raises(
            ValueError, match=r"(?s)a could not be read as DICOM pixels of transfer syntax JPEG Extended"
        ):
            read_image(path)


class TestOddities:
    """What scanners and archives write, seldom but lawfully."""

    def test_the_example_of_the_jpeg_ls_standard(self, tmp_path):
        """ITU-T T.87, H.3: 4 x 4 pixels of 8 bits, codestream and result as printed."""
        frame = bytes.fromhex(
            "FFD8 FFF7 000B 08 0004 0004 01 01 11 00 FFDA 0008 01 01 00 00 00 00"
            "C000 006C 8020 8E01 C000 0057 4000 006E E600 0001 BC18 0000 05D8 0000 9160 FFD9"
        )
        printed = np.array([[0, 0, 90, 74], [68, 50, 43, 205], [64, 145, 145, 145], [100, 145, 145, 145]], np.uint8)
        path = write_image(tmp_path / "a", printed, uid.JPEGLSLossless, 8, frame=frame)
        np.testing.assert_array_equal(read_image(path)[0], printed)

    @pytest.mark.parametrize("with_table", [False, True])
    @pytest.mark.parametrize("syntax", LOSSLESS[:-1], ids=lambda syntax: syntax.name)
    def test_a_frame_in_several_fragments(self, tmp_path, syntax, with_table):
        """PS3.5 A.4; RLE has one fragment a frame."""
        pixels = ramp(12)
        data = encapsulate([encode(pixels, syntax, 12)], fragments_per_frame=3, has_bot=with_table)
        path = write_image(tmp_path / "a", pixels, syntax, PixelData=data)
        np.testing.assert_array_equal(read_image(path)[0], pixels)

    @pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.name)
    def test_a_codestream_deeper_than_what_is_stored(self, tmp_path, syntax):
        pixels = ramp(12)
        path = write_image(tmp_path / "a", pixels, syntax, 12, frame=encode(pixels, syntax, 16))
        np.testing.assert_array_equal(read_image(path)[0], pixels)

    def test_unused_bits_are_no_part_of_a_pixel(self, tmp_path):
        """Old overlays lie above Bits Stored (PS3.5 8.1.1)."""
        pixels = ramp(12)
        overlay = np.random.default_rng(1).integers(0, 16, pixels.shape).astype(np.uint16) << 12
        for syntax in RAW:
            path = write_image(tmp_path / "a", pixels | overlay, syntax)
            np.testing.assert_array_equal(read_image(path)[0], pixels)

    def test_signed_pixels_need_no_sign_above_their_bits(self, tmp_path):
        pixels = ramp(12, signed=True)
        bare = (pixels.view(np.uint16) & 4095).view(np.int16)
        for syntax in RAW:
            np.testing.assert_array_equal(read_image(write_image(tmp_path / "a", bare, syntax))[0], pixels)

    def test_jpeg_2000_that_does_not_say_it_is_signed(self, tmp_path):
        pixels = ramp(12, signed=True)
        unsigned = pixels.view(np.uint16) & 4095
        frame = imagecodecs.jpeg2k_encode(unsigned, codecformat="J2K", bitspersample=12, reversible=True)
        path = write_image(tmp_path / "a", pixels, uid.JPEG2000Lossless, frame=frame)
        np.testing.assert_array_equal(read_image(path)[0], pixels)

    def test_jpeg_2000_in_a_jp2_box(self, tmp_path):
        """Against PS3.5 8.2.4, but archives have written it."""
        pixels = ramp(12)
        frame = imagecodecs.jpeg2k_encode(pixels, codecformat="JP2", bitspersample=12, reversible=True)
        path = write_image(tmp_path / "a", pixels, uid.JPEG2000Lossless, frame=frame)
        np.testing.assert_array_equal(read_image(path)[0], pixels)


class TestLicences:
    @pytest.mark.parametrize("name", ["python-gdcm", "pyjpegls", "pydicom", "pillow"])
    def test_decoders_are_permissive(self, name):
        metadata = importlib.metadata.metadata(name)
        said = " ".join(
            [metadata.get("License-Expression") or "", metadata.get("License") or ""]
            + [text for text in metadata.get_all("Classifier") or [] if text.startswith("License")]
        )
        assert re.search(r"\b(MIT|BSD|Apache|HPND)\b", said), said
        assert not re.search(r"GPL|General Public", said), said

    def test_no_decoder_under_the_gpl(self):
        assert importlib.util.find_spec("libjpeg") is None, "pylibjpeg-libjpeg is GPL: uninstall it"
        with pytest.raises(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version("pylibjpeg-libjpeg")
        for syntax in (*LOSSLESS, uid.JPEGLSNearLossless, uid.JPEG2000, uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit):
            assert {*get_decoder(syntax).available_plugins} <= {"gdcm", "pydicom", "pyjpegls", "pillow"}
