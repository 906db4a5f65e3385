"""Side, view, window and pixel size from headers as vendors write them."""

import math

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from bundle.dicom import laterality, pixel_spacing, view, window


def header(**elements):
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def coded(value, meaning=""):
    return Sequence([header(CodeValue=value, CodeMeaning=meaning)])


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"ImageLaterality": "L", "Laterality": "R"}, "L"),
        ({"ImageLaterality": "", "Laterality": "R"}, "R"),
        ({"Laterality": "R"}, "R"),
        ({"ImageLaterality": "B"}, ""),
        ({}, ""),
    ],
)
def test_laterality(elements, expected):
    assert laterality(header(**elements)) == expected


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"ViewPosition": "MLO", "ViewCodeSequence": coded("399162004")}, "MLO"),
        ({"ViewPosition": "", "ViewCodeSequence": coded("399162004")}, "CC"),
        ({"ViewCodeSequence": coded("399368009")}, "MLO"),
        ({"ViewCodeSequence": coded("R-10242")}, "CC"),
        ({"ViewCodeSequence": coded("R-10226")}, "MLO"),
        ({"ViewCodeSequence": coded("399260004", "medio-lateral")}, "MEDIO-LATERAL"),
        ({"ViewPosition": "XCCL"}, "XCCL"),
        ({"ViewCodeSequence": Sequence()}, ""),
        ({}, ""),
    ],
)
def test_view(elements, expected):
    assert view(header(**elements)) == expected


def test_window_takes_the_first_of_several():
    assert window(header(WindowCenter=["2105", "2085"], WindowWidth=["380", "265"])) == (2105.0, 380.0)
    assert window(header(WindowCenter="2360.5", WindowWidth="900")) == (2360.5, 900.0)


@pytest.mark.parametrize("elements", [{}, {"WindowCenter": "2105"}, {"WindowCenter": None, "WindowWidth": None}])
def test_window_is_nan_unless_both_are_there(elements):
    assert all(math.isnan(number) for number in window(header(**elements)))


def test_pixel_spacing_is_row_then_column():
    both = header(PixelSpacing=["0.09", "0.08"], ImagerPixelSpacing=["0.1", "0.1"])
    assert pixel_spacing(both) == (0.09, 0.08)
    assert pixel_spacing(header(ImagerPixelSpacing=["0.1", "0.2"])) == (0.1, 0.2)
    assert all(math.isnan(step) for step in pixel_spacing(header()))


class TestClinicalViewOfGe:
    """Private (0045,101B), where nothing else says side and view."""

    def header(self, value, vr="LO"):
        ds = Dataset()
        ds.add_new(0x00450010, "LO", "GEMS_SENO_02")
        ds.add_new(0x0045101B, vr, value)
        return ds

    @pytest.mark.parametrize(
        ("value", "vr", "said"),
        [
            ("LCC", "LO", ("L", "CC")),
            ("RMLO ", "LO", ("R", "MLO")),
            (b"LMLO\0", "UN", ("L", "MLO")),  # of implicit VR
            ("CC", "LO", ("", "")),
            ("", "LO", ("", "")),
        ],
    )
    def test_read(self, value, vr, said):
        ds = self.header(value, vr)
        assert (laterality(ds), view(ds)) == said

    def test_the_standard_goes_before_it(self):
        ds = self.header("LCC")
        ds.ImageLaterality, ds.ViewPosition = "R", "MLO"
        assert (laterality(ds), view(ds)) == ("R", "MLO")


@pytest.mark.parametrize(
    ("position", "said"), [("LCC", "CC"), ("R MLO", "MLO"), ("r_cc", "CC"), ("ML", "ML"), ("LM", "LM")]
)
def test_a_side_that_stands_in_the_view_position(position, said):
    assert view(header(ViewPosition=position)) == said
