"""A CDD-CESM folder becomes a datalist: made up with every irregularity, and real where it is at hand."""

import logging

import numpy as np
import pytest
from cdd_cesm_folder import (
    CIRCLE,
    DES_FOLDER,
    LE_FOLDER,
    SHAPE,
    SHIFT,
    breast,
    convert,
    picture,
    save,
    write_folder,
    write_pair,
    write_regions,
)
from PIL import Image

from bundle.data.cdd_cesm_files import find_files


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path / "PKG - CDD-CESM")


def test_every_pair_is_found_by_name(root, tmp_path):
    cases, datalist = convert(root, tmp_path / "out")
    assert list(cases) == ["P1_L_CC", "P4_L_MLO", "P7_R_CC", "P99_L_MLO_2", "P281_L_MLO_2"]
    assert datalist["skipped"] == []
    assert (datalist["name"], datalist["licence"]) == ("CDD-CESM", "CC BY 4.0")
    assert "10.7937/29kw-ae92" in datalist["source"]
    case = cases["P7_R_CC"]
    assert (case["patient_id"], case["laterality"], case["view"]) == ("P7", "R", "CC")
    assert (tmp_path / "out" / case["le"]).resolve() == root / LE_FOLDER / "P7_R_DM_CC.JPG"
    assert case["seg"] is None


def test_des_and_its_map_move_together(root, tmp_path):
    output = tmp_path / "out"
    cases, _ = convert(root, output)
    for case in cases.values():
        mirrored = SHIFT if case["laterality"] == "L" else (SHIFT[0], -SHIFT[1])
        assert case["alignment"]["shift"] == pytest.approx(mirrored, abs=0.5)
        assert case["alignment"]["overlap"] > max(0.95, case["alignment"]["overlap_before"])
    case = cases["P99_L_MLO_2"]  # its region is the polygon, rows 60 to 75, columns 30 to 50
    seg = picture(output, case["seg"])
    assert set(np.unique(seg)) == {0, 255}
    assert np.argwhere(seg).min(axis=0).tolist() == [60 + SHIFT[0], 30 + SHIFT[1]]
    assert np.argwhere(seg).max(axis=0).tolist() == [75 + SHIFT[0], 50 + SHIFT[1]]
    des = picture(output, case["des"])
    with Image.open(root / DES_FOLDER / "P99_L_CM_MLO_2.JPEG") as original:
        assert np.array_equal(des[6:, :-4], np.asarray(original)[:-6, 4:])
    assert des.shape == SHAPE


def test_the_map_on_le_stays_where_it_was_drawn(root, tmp_path):
    cases, _ = convert(root, tmp_path / "out")
    centre = np.argwhere(picture(tmp_path / "out", cases["P1_L_CC"]["seg_le"])).mean(axis=0)
    assert centre == pytest.approx((CIRCLE["cy"], CIRCLE["cx"]))
    assert cases["P4_L_MLO"]["seg_le"] is None


def test_labels_come_from_the_workbook(root, tmp_path):
    cases, _ = convert(root, tmp_path / "out")
    first, second = cases["P1_L_CC"], cases["P4_L_MLO"]
    assert (first["malignant"], first["pathology"], first["birads"]) == (True, "Malignant", [5, 2])
    assert (first["density"], first["age"], first["findings"]) == ("C", 46, ["Mass", "IMLN"])
    assert "pathology_le" not in first
    assert (second["malignant"], second["pathology"], second["pathology_le"]) == (False, "Normal", "Benign")
    assert (cases["P281_L_MLO_2"]["malignant"], cases["P281_L_MLO_2"]["density"]) == (True, None)
    assert cases["P7_R_CC"]["malignant"] is None


def test_only_malignant_pairs_keep_their_maps(root, tmp_path):
    cases, _ = convert(root, tmp_path / "out", lesions="malignant")
    assert {name for name, case in cases.items() if case["seg"]} == {"P1_L_CC", "P281_L_MLO_2"}
    (root / "Radiology-manual-annotations.xlsx").unlink()
    with pytest.raises(FileNotFoundError, match=r"lesions='malignant' needs 'Radiology manual annotations\.xlsx'"):
        convert(root, tmp_path / "out2", lesions="malignant")


def test_none_leaves_images_alone_and_lists_unequal_sizes(root, tmp_path, caplog):
    path = root / DES_FOLDER / "P1_L_CM_CC.jpg"
    save(path, breast("CM")[:, :-10])
    with caplog.at_level(logging.WARNING):
        cases, datalist = convert(root, tmp_path / "out", align="none")
    assert (tmp_path / "out" / cases["P1_L_CC"]["des"]).resolve() == path
    assert datalist["unequal_size"] == ["P1_L_CC"]
    assert "1 pair(s) differ in size and were not aligned: P1_L_CC." in caplog.text
    assert not list((tmp_path / "out" / "images").glob("*_des.png"))
    seg = picture(tmp_path / "out", cases["P99_L_MLO_2"]["seg"])
    assert np.argwhere(seg).min(axis=0).tolist() == [60, 30]


def test_an_aligned_des_takes_the_size_of_le(root, tmp_path):
    save(root / DES_FOLDER / "P1_L_CM_CC.jpg", breast("CM")[3:, :-10])
    cases, datalist = convert(root, tmp_path / "out")
    case = cases["P1_L_CC"]
    assert picture(tmp_path / "out", case["des"]).shape == SHAPE
    assert picture(tmp_path / "out", case["seg"]).shape == SHAPE
    assert case["alignment"]["shift"] == pytest.approx((SHIFT[0] + 3, SHIFT[1]), abs=0.5)
    assert case["alignment"]["des_size"] == [157, 90]
    assert datalist["unequal_size"] == []


def test_what_is_left_out_is_told(root, tmp_path, caplog):
    (root / DES_FOLDER / "P7_R_CM_CC.JPG").unlink()
    save(root / "extra/scan.jpg", breast("DM"))
    (root / LE_FOLDER / "P4_L_DM_MLO .jpg").write_bytes(b"no picture")
    with caplog.at_level(logging.WARNING):
        cases, datalist = convert(root, tmp_path / "out")
    assert list(cases) == ["P1_L_CC", "P99_L_MLO_2", "P281_L_MLO_2"]
    reasons = {entry["path"].rsplit("/", 1)[1]: entry["reason"] for entry in datalist["skipped"]}
    assert reasons["P7_R_DM_CC.JPG"] == "no DES (CM) image of P7_R_CC was found"
    assert reasons["scan.jpg"] == "its name is not P<n>_<L|R>_<DM|CM>_<CC|MLO>"
    assert reasons["P4_L_DM_MLO .jpg"].startswith("the pair P4_L_MLO cannot be used: cannot identify image file")
    assert len(reasons) == 4
    assert "4 file(s) were skipped" in caplog.text


def test_low_overlap_is_marked_and_warned_of_once(root, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        cases, datalist = convert(root, tmp_path / "out", min_overlap=0.9999)
    low = [name for name, case in cases.items() if case["alignment"]["low_overlap"]]
    assert low
    assert datalist["low_overlap"] == low
    assert [record.message for record in caplog.records] == [
        f"{len(low)} pair(s) overlap by less than 1.00: {', '.join(low)}."
    ]


def test_maps_on_disk_go_before_regions_and_are_no_images(root, tmp_path):
    for kind, columns in (("DM", slice(20, 30)), ("CM", slice(24, 34))):
        lesion = np.zeros(SHAPE, bool)
        lesion[40:50, columns] = True
        save(root / "Masks" / f"P1_L_{kind}_CC.png", lesion)
    save(root / "Masks" / "P5_L_DM_CC.png", lesion)
    save(root / "Masks" / "P7_R_CM_CC.png", lesion[:, :-2])
    cases, datalist = convert(root, tmp_path / "out")
    seg = picture(tmp_path / "out", cases["P1_L_CC"]["seg"])
    assert np.argwhere(seg).min(axis=0).tolist() == [46, 20]
    assert (tmp_path / "out" / cases["P1_L_CC"]["seg_le"]).resolve() == root / "Masks" / "P1_L_DM_CC.png"
    assert cases["P4_L_MLO"]["seg"]  # from its region
    reasons = {entry["path"].rsplit("/", 1)[1]: entry["reason"] for entry in datalist["skipped"]}
    assert reasons["P5_L_DM_CC.png"] == "a lesion map without its image"
    assert "lesion map is 98 x 160, expected 100 x 160 pixels as the image" in reasons["P7_R_CM_CC.png"]
    assert cases["P7_R_CC"]["seg"] is None


def test_regions_of_larger_images_are_refused(root, tmp_path):
    """One such image loses its map; when there are many, the region file belongs to other images."""
    many = [(f"P{number}_L_CM_CC", CIRCLE) for number in range(20, 40)]
    for name, _ in many:
        write_pair(root, name.replace("CM", "?"))
    far = {**CIRCLE, "cx": 900}
    write_regions(root, [*many, ("P1_L_CM_CC", far)])
    cases, datalist = convert(root, tmp_path / "out", align="none")
    assert cases["P1_L_CC"]["seg"] is None
    assert [entry["reason"] for entry in datalist["skipped"]] == [
        "its regions reach 809% of a side beyond it: drawn on another size"
    ]
    write_regions(root, [(name, far) for name, _ in many])
    with pytest.raises(
        ValueError, match="does not fit the images: the regions of 20 out of 20 images reach beyond them"
    ):
        convert(root, tmp_path / "out2")


def test_the_number_of_processes_changes_nothing(root, tmp_path):
    outputs = [tmp_path / "one", tmp_path / "two"]
    for workers, output in enumerate(outputs, start=1):
        convert(root, output, num_workers=workers, align="similarity")
    files = [sorted(path.relative_to(output) for path in output.rglob("*.*")) for output in outputs]
    assert files[0] == files[1]
    assert len(files[0]) == 1 + 5 + 5  # the datalist, five DES, four maps on DES and one on LE
    for name in files[0]:
        assert (outputs[0] / name).read_bytes() == (outputs[1] / name).read_bytes()


def test_a_written_datalist_is_kept_unless_asked(root, tmp_path):
    output = root / "made"  # inside the root: what was written is not read again
    first, _ = convert(root, output)
    with pytest.raises(FileExistsError, match=r"datalist\.json exists already. Choose another --output, or pass"):
        convert(root, output)
    again, datalist = convert(root, output, overwrite=True)
    assert again == first
    assert datalist["skipped"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"align": "affine"}, "align is 'affine', expected one of"),
        ({"lesions": "benign"}, "lesions is 'benign', expected 'all' or 'malignant'"),
        ({"num_workers": 0}, "num_workers is 0, expected 1 or more"),
    ],
)
def test_unknown_options_are_refused(root, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        convert(root, tmp_path / "out", **options)


def test_an_empty_folder_is_told_from_a_missing_one(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*nowhere. Expected the unpacked CDD-CESM"):
        convert(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no LE / DES pair of CDD-CESM: of 0 pictures 0 are named"):
        convert(tmp_path / "empty", tmp_path / "out")
    write_pair(tmp_path / "images", "P1_L_?_CC")
    with pytest.raises(FileNotFoundError, match="holds neither the annotation workbook nor the region file"):
        convert(tmp_path / "images", tmp_path / "out", annotations=tmp_path / "empty")


def test_real_pairs_are_complete_and_come_closer(shared_data, tmp_path):
    """Six real pairs: their breasts overlap better once DES is aligned."""
    source = shared_data / "cdd_cesm_512"
    folder = find_files(source)
    assert len(folder.keys) == 248
    assert len(folder.images) == len(folder.masks) == 496
    for key in folder.keys[::42]:
        for name, path in [*folder.images.items(), *folder.masks.items()]:
            if name.key == key:
                link = tmp_path / "root" / path.relative_to(source)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path)
    cases, datalist = convert(tmp_path / "root", tmp_path / "out", annotations=shared_data / "cdd_cesm_annotations")
    assert len(cases) == 6
    assert datalist["skipped"] == []
    assert all(case["malignant"] is True and case["seg"] and case["seg_le"] for case in cases.values())
    gain = [case["alignment"]["overlap"] - case["alignment"]["overlap_before"] for case in cases.values()]
    assert min(gain) >= -0.002
    assert np.median(gain) > 0


def test_regions_of_the_originals_do_not_fit_the_shrunk_images(shared_data, tmp_path):
    for name in ("P102_R_DM_CC.jpg", "P102_R_CM_CC.jpg"):
        link = tmp_path / "root" / name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(next((shared_data / "cdd_cesm_512").rglob(name)))
    with pytest.raises(ValueError, match="does not fit the images: the regions of 2 out of 2 images reach beyond them"):
        convert(tmp_path / "root", tmp_path / "out", annotations=shared_data / "cdd_cesm_annotations")
