"""A small tree in the research form of CESM@UCBM, with all that goes wrong in one."""

import json
import os
import sys
from pathlib import Path

import nrrd
import numpy as np
import pytest
from PIL import Image

from bundle.data.datalist import case_items, read_datalist
from bundle.data.images import read_image
from bundle.data.ucbm_nrrd import write_ucbm_nrrd

SHAPE = (48, 40)
HEAD = "id\timg_x\timg_y\tr_l\twc_x\tww_x\twc_y\tww_y"


def breast(right):
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = np.where(((rows - 24) / 20) ** 2 + (columns / 30) ** 2 < 1, 2000 + 10 * rows, 0).astype(np.uint16)
    return image[:, ::-1] if right else image


def lesion(right):
    seg = np.zeros(SHAPE, bool)
    seg[20:26, 8:14] = True
    return seg[:, ::-1] if right else seg


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    nrrd.write(str(path), image.T)  # axes fastest first
    return path


def write_pair(root, name, le=None, des=None):
    image = breast("_R" in name.upper())
    write(root / "Low Energy" / f"{name}_LOW_ENERGY.nrrd", image if le is None else le)
    write(root / "Recombined" / f"{name}_RECOMBINED.nrrd", image + 1 if des is None else des)


def row(name, side="R", windows=(2360, 900, 2085, 265), folder="", suffix=".nrrd", separator="\t"):
    files = (f"{folder}{name}_{kind}{suffix}" for kind in ("LOW_ENERGY", "RECOMBINED"))
    return separator.join(map(str, (7, *files, side, *windows)))


def write_text(path, *lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("ucbm")
    for name in ("P96_76_RMLO", "P1_32_RCC", "P1_22_RCC", "p2_5_lcc"):
        write_pair(root, name)
    write_pair(root, "P3_1_LML")
    write_pair(root, "P4_1_RCC", des=np.full(SHAPE, 7, np.uint16))
    write_pair(root, "P5_1_RCC", des=breast(True)[:, :-1])
    write_pair(root, "P6_1_LCC")
    write_pair(root, "P9_1_RCC")
    write(root / "Low Energy" / "P7_1_LCC_LOW_ENERGY.nrrd", breast(False))
    write(root / "Low Energy" / "phantom.nrrd", breast(False))
    write_pair(root, "P8_1_LCC")
    (root / "Recombined" / "P8_1_LCC_RECOMBINED.nrrd").write_bytes(b"NRRD0005\ntype: what")
    write_text(root / "training.txt", HEAD, row("P96_76_RMLO"), row("P1_22_RCC", "r", folder="Low Energy/"))
    write_text(
        root / "test.csv",
        HEAD.replace("\t", ";"),
        row("P96_76_RMLO", separator=";"),
        row("P1_32_RCC", "Right", ("2000,5", 800, 2080, 260), "D:\\data\\", "", ";"),
        row("P6_1_LCC", "R", separator=";"),
        row("P99_1_RCC", separator=";"),
        row("P9_1_RCC", "", (2360, 900, 9000, 10), separator=";"),
    )
    write_text(root / "readme.txt", "nothing of interest", "at all")
    write(root / "masks" / "P96_76_RMLO.seg.nrrd", lesion(True).astype(np.uint8))
    write(root / "masks" / "P1_22_RCC_RECOMBINED_seg.nrrd", lesion(False).astype(np.uint8))
    other = np.zeros(SHAPE, np.uint8)
    other[30, 10] = 255
    Image.fromarray(lesion(False).astype(np.uint8) * 255).save(root / "masks" / "p2_5_lcc.png")
    Image.fromarray(other).save(root / "masks" / "P2_5_LCC-mask 2.png")
    Image.fromarray(other).save(root / "masks" / "P50_5_LCC.png")
    (root / "masks" / "notes.docx").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def datalist(study):
    return read_datalist(write_ucbm_nrrd(study, study / "out", num_workers=2))


def test_cases(datalist):
    rows = [
        (case["case_id"], case["patient_id"], case["laterality"], case["view"], case["number"])
        for case in datalist["cases"]
    ]
    assert rows == [
        ("P1_R_CC", "P1", "R", "CC", 22),
        ("P1_R_CC_2", "P1", "R", "CC", 32),
        ("P2_L_CC", "P2", "L", "CC", 5),
        ("P96_R_MLO", "P96", "R", "MLO", 76),
    ]
    last = datalist["cases"][-1]
    assert last["le"] == "../Low Energy/P96_76_RMLO_LOW_ENERGY.nrrd"
    assert last["des"] == "../Recombined/P96_76_RMLO_RECOMBINED.nrrd"


def test_windows_are_those_of_the_index(datalist):
    windows = {case["case_id"]: (case.get("le_window"), case.get("des_window")) for case in datalist["cases"]}
    assert windows == {
        "P1_R_CC": ([2360, 900], [2085, 265]),
        "P1_R_CC_2": ([2000.5, 800], [2080, 260]),
        "P2_L_CC": (None, None),
        "P96_R_MLO": ([2360, 900], [2085, 265]),
    }
    assert datalist["without_window"] == ["P2_L_CC"]


def test_lesion_maps(datalist, study):
    items = {item["case_id"]: item for item in case_items(datalist, study / "out")}
    assert {name for name, item in items.items() if "seg" in item} == {"P2_L_CC", "P96_R_MLO"}
    assert items["P96_R_MLO"]["seg"].endswith("out/images/P96_R_MLO_seg.png")
    assert np.array_equal(read_image(items["P96_R_MLO"]["seg"])[0], lesion(True) * 255)
    both = lesion(False)
    both[30, 10] = True
    assert np.array_equal(read_image(items["P2_L_CC"]["seg"])[0], both * 255)


def test_what_is_not_used_is_said(datalist):
    said = {}
    for entry in datalist["skipped"]:
        assert entry["path"].startswith("../")
        said.setdefault(entry["path"].rsplit("/", 1)[1], []).append(entry["reason"])
    expected = {
        "P3_1_LML_LOW_ENERGY.nrrd": "its view is ML, expected one of CC, MLO",
        "P3_1_LML_RECOMBINED.nrrd": "its view is ML, expected one of CC, MLO",
        "P4_1_RCC_LOW_ENERGY.nrrd": "its partner cannot be used: P4_1_RCC_RECOMBINED.nrrd",
        "P4_1_RCC_RECOMBINED.nrrd": "is constant (7 everywhere)",
        "P5_1_RCC_LOW_ENERGY.nrrd": "LE is 40 x 48, DES 39 x 48 pixels, expected one size",
        "P5_1_RCC_RECOMBINED.nrrd": "LE is 40 x 48, DES 39 x 48 pixels, expected one size",
        "P6_1_LCC_LOW_ENERGY.nrrd": "its name says side L, test.csv, line 4 says R; correct one of them",
        "P6_1_LCC_RECOMBINED.nrrd": "its name says side L, test.csv, line 4 says R; correct one of them",
        "P7_1_LCC_LOW_ENERGY.nrrd": "no RECOMBINED image of P7_1_LCC was found",
        "P8_1_LCC_LOW_ENERGY.nrrd": "its partner cannot be used: P8_1_LCC_RECOMBINED.nrrd",
        "P8_1_LCC_RECOMBINED.nrrd": "could not be read as NRRD",
        "phantom.nrrd": "its name is not P<patient>_<number>_<side><view>_<LOW_ENERGY|RECOMBINED>.nrrd",
        "P1_22_RCC_RECOMBINED_seg.nrrd": "flipped left to right it would be 100%, so it is probably mirrored",
        "P9_1_RCC_LOW_ENERGY.nrrd": "its partner cannot be used: P9_1_RCC_RECOMBINED.nrrd",
        "P9_1_RCC_RECOMBINED.nrrd": "lies outside its window (centre 9000, width 10; pixels 1 to ",
        "P50_5_LCC.png": "a lesion map without its pair",
        "readme.txt": "it is no index file: its first line does not name img_x and img_y",
        "notes.docx": "it is no lesion map named P<patient>_<number>_<side><view>.seg.nrrd or alike",
    }
    assert said.keys() == expected.keys()
    for name, reason in expected.items():
        assert len(said[name]) == 1
        assert reason in said[name][0]


def test_masks_elsewhere_and_blanks_and_the_same_bytes(tmp_path, caplog):
    root = tmp_path / "in"
    write_pair(root, "P1_1_LCC")
    write_text(root / "list.txt", HEAD.replace("\t", "  "), row("P1_1_LCC", "l", folder="Low Energy/", separator="  "))
    write(tmp_path / "drawn" / "P1_1_LCC.nrrd", lesion(False).astype(np.uint8))
    lists = [write_ucbm_nrrd(root, tmp_path / f"out{number}", tmp_path / "drawn", number) for number in (1, 2)]
    (case,) = read_datalist(lists[0])["cases"]
    assert case["seg"] == "images/P1_L_CC_seg.png"
    assert case["des_window"] == [2085, 265]
    assert lists[0].read_bytes() == lists[1].read_bytes()
    assert caplog.text == ""
    with pytest.raises(FileExistsError, match=r"datalist.json exists already. Choose another --output, or pass"):
        write_ucbm_nrrd(root, tmp_path / "out1")
    assert json.loads(write_ucbm_nrrd(root, tmp_path / "out1", overwrite=True).read_text())["cases"][0]["seg"] is None


def test_no_file_is_passed_over_in_silence(tmp_path):
    root, masks = tmp_path / "in", tmp_path / "drawn"
    write_pair(root, "P1_1_RCC")
    write_pair(root, "P2_1_RCC")
    names = {
        "P3_1_RCC_LOW_ENERGY.nii.gz": "neither an image",
        "P3_1_RCC_RECOMBINED.nhdr": "neither an image",
        "P4_1_LCC_LOW_ENERGY.dcm": "neither an image",
        "scan.mha": "neither an image",
        ".x.nrrd": "a hidden file",
        "._notes.txt": "a hidden file",
        "__MACOSX/P1_1_RCC_LOW_ENERGY.nrrd": "a hidden file, or lies in a hidden folder",
        "masks/P1_1_RCC_LOW_ENERGY.nrrd": "is named as an image, expected a map",
    }
    for name in names:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / "gone.nrrd").symlink_to(tmp_path / "nowhere")
    image = write(masks / "P1_1_RCC_RECOMBINED.nrrd", breast(True))
    write(masks / "P2_1_RCC_RECOMBINED.seg.nrrd", lesion(True).astype(np.uint8))
    (masks / ".P1_1_RCC.png").write_bytes(b"x")
    datalist = read_datalist(write_ucbm_nrrd(root, tmp_path / "out", masks, num_workers=1))
    said = {entry["path"]: entry["reason"] for entry in datalist["skipped"]}
    assert said.keys() == {f"../in/{name}" for name in (*names, "gone.nrrd")} | {
        "../drawn/P1_1_RCC_RECOMBINED.nrrd",
        "../drawn/.P1_1_RCC.png",
    }
    for name, reason in names.items():
        assert reason in said[f"../in/{name}"]
    assert "a link that leads nowhere" in said["../in/gone.nrrd"]
    assert "is named as an image, expected a map" in said[f"../drawn/{image.name}"]
    assert [bool(case["seg"]) for case in datalist["cases"]] == [False, True]


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="its names of files are always Unicode")
def test_names_that_are_not_utf8(tmp_path):
    write_pair(tmp_path / "in", "P1_1_LCC")
    for name in (b"caf\xe9.nrrd", b"caf\xe9.txt", b"P2_1_LCC_LOW_ENERGY\xe9.nrrd"):
        Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/" + name)).write_bytes(b"x")
    datalist = read_datalist(write_ucbm_nrrd(tmp_path / "in", tmp_path / "out", num_workers=1))
    assert [case["case_id"] for case in datalist["cases"]] == ["P1_L_CC"]
    assert {entry["path"] for entry in datalist["skipped"]} == {
        "../in/caf\ufffd.nrrd",
        "../in/caf\ufffd.txt",
        "../in/P2_1_LCC_LOW_ENERGY\ufffd.nrrd",
    }
    assert {entry["reason"] for entry in datalist["skipped"]} == {
        "its name is not UTF-8, so no list can name it: rename it"
    }


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((HEAD, row("P1_1_LCC", "L"), row("P1_1_LCC", "L", (2360, 900, 2085, 300))),
         r"list.txt, line 3: P1_1_LCC .*300.*, but list.txt, line 2 says .*265"),
        ((HEAD, row("P1_1_LCC") + "\tmore"), r"list.txt, line 2: 9 values, expected 8; separate them by tabs"),
        ((HEAD, row("P1_1_LCC", windows=(2360, "wide", 2085, 265))), r"line 2: \['2360', 'wide', .* expected numbers"),
        ((HEAD, row("P1_1_LCC", windows=(2360, 0, 2085, 265))), r"line 2: widths 0 and 265, expected finite windows"),
        ((HEAD, row("P1_1_LCC").replace("_RECOMBINED", "_LOW_ENERGY")), r"2: img_x .*, expected LE and DES of a pair"),
        (("id\timg_x\timg_y\twc_x\tww_x", "1\ta\tb\t1\t2"), r"list.txt: lacks the column\(s\) wc_y, ww_y"),
    ],
)  # fmt: skip
def test_errors_of_the_index(tmp_path, lines, message):
    write_pair(tmp_path, "P1_1_LCC")
    write_text(tmp_path / "list.txt", *lines)
    with pytest.raises(ValueError, match=r"the index files have 1 problem\(s\)(.|\n)*" + message):
        write_ucbm_nrrd(tmp_path, tmp_path / "out")


def test_errors_of_the_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*nowhere. Expected the NRRD files of CESM@UCBM"):
        write_ucbm_nrrd(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*nowhere. Expected the lesion maps"):
        write_ucbm_nrrd(tmp_path, tmp_path / "out", masks=tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"holds no LE / DES pair that can be used: 0 NRRD file\(s\) are named"):
        write_ucbm_nrrd(tmp_path, tmp_path / "out")
    write_pair(tmp_path, "P1_1_LCC")
    write(tmp_path / "copy" / "p1_1_lcc_low_energy.nrrd", breast(False))
    with pytest.raises(
        ValueError, match=r"holds 1 image\(s\) more than once. Keep one of each:\n.*P1_1_LCC.* and .*copy"
    ):
        write_ucbm_nrrd(tmp_path, tmp_path / "out")
