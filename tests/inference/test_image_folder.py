"""Which files become a virtual DES, under which name, and what is said of the others."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path

import nrrd
import numpy as np
import pandas as pd
import pytest

from bundle.inference import ImageFolder
from bundle.inference.save import making_options, save_virtual_des


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def outputs(folder, out):
    """Name of each image -> where its result goes, relative to the output folder."""
    return {
        str(path_of(item["image"]).relative_to(folder.dataset_dir)): str(path_of(item["output"]).relative_to(out))
        for item in folder.items()
    }


def path_of(text):
    return Path(os.path.abspath(text))  # links stay


def states(folder):
    """Name of each image -> (state, reason)."""
    folder.items()
    return {path_of(row["image"]).name: (row["state"], row["reason"]) for row in folder.results}


def make_results(folder):
    for item in folder.items():
        path = path_of(item["output"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"result")


class TestNames:
    @pytest.mark.parametrize(
        ("name", "result"),
        [
            ("P1_L_CC.png", "P1_L_CC_virtual_des.png"),
            ("P1_L_CC.JPG", "P1_L_CC_virtual_des.png"),
            ("deep/er/P1.jpeg", "deep/er/P1_virtual_des.png"),
            ("P1.nii.gz", "P1_virtual_des.nii.gz"),
            ("P1.nii", "P1_virtual_des.nii.gz"),
            ("v1.2 final.png", "v1.2 final_virtual_des.png"),
        ],
    )
    def test_of_pictures_and_nifti(self, images, out, write, name, result):
        write(images / name)
        assert outputs(ImageFolder(images, out), out) == {name: result}

    @pytest.mark.parametrize(
        ("name", "result"),
        [
            ("1.2.840.113619.2.66.dcm", "1.2.840.113619.2.66_virtual_des.png"),
            ("1.2.840.113619.2.66", "1.2.840.113619.2.66_virtual_des.png"),
            ("series/IM0001", "series/IM0001_virtual_des.png"),
            ("P1.DCM", "P1_virtual_des.png"),
        ],
    )
    def test_of_dicom(self, images, out, write_dicom, name, result):
        write_dicom(images / name)
        assert outputs(ImageFolder(images, out), out) == {name: result}

    def test_of_nrrd(self, images, out, breast):
        nrrd.write(str(images / "P1.nrrd"), breast.T[..., None])
        assert outputs(ImageFolder(images, out), out) == {"P1.nrrd": "P1_virtual_des.png"}

    def test_a_link_keeps_its_place(self, images, out, write, tmp_path):
        original = write(tmp_path / "elsewhere" / "original.png")
        for name in ("a/link.png", "b/link.png"):
            (images / name).parent.mkdir()
            (images / name).symlink_to(original)
        found = [item["output"] for item in ImageFolder(images, out).items()]
        assert found == [str(out / "a/link_virtual_des.png"), str(out / "b/link_virtual_des.png")]

    def test_two_files_of_one_result_are_reported(self, images, out, write):
        write(images / "P1.jpg")
        write(images / "P1.png")
        write(images / "P1.nii")
        folder = ImageFolder(images, out)
        reason = f"would be written to the same file as {images / 'P1.jpg'}: rename one of the two"
        assert states(folder) == {"P1.jpg": ("made", ""), "P1.png": ("failed", reason), "P1.nii": ("made", "")}
        make_results(folder)
        assert states(ImageFolder(images, out))["P1.jpg"][0] == "kept"
        assert states(ImageFolder(images, out))["P1.png"] == ("failed", reason)
        assert states(ImageFolder(images, out, overwrite=True))["P1.png"] == ("failed", reason)


class TestWhatIsFound:
    def test_images_at_any_depth_in_order(self, images, out, write, write_dicom):
        write(images / "b.png")
        write(images / "a" / "z.png")
        write_dicom(images / "a" / "y" / "IM1")
        (images / "notes.txt").write_text("not an image")
        (images / ".hidden.png").write_bytes(b"not an image")
        assert list(outputs(ImageFolder(images, out), out)) == ["a/y/IM1", "a/z.png", "b.png"]
        assert len(states(ImageFolder(images, out))) == 3

    def test_items_say_where_and_whither(self, images, out, write):
        path = write(images / "P1.png")
        folder = ImageFolder(str(images), str(out))
        assert folder.items() == [{"image": str(path), "output": str(out / "P1_virtual_des.png")}]
        assert folder.items() is folder.items()

    def test_a_missing_folder_has_none(self, tmp_path, out):
        assert ImageFolder(tmp_path / "nowhere", out).items() == []

    def test_earlier_results_inside_the_folder_are_no_input(self, images, write):
        write(images / "P1.png")
        for output in (images / "results", images, images.parent):
            folder = ImageFolder(images, output)
            make_results(folder)
            assert states(folder) == {"P1.png": ("made", "")}
            folder.finish()
            assert states(ImageFolder(images, output)).keys() == {"P1.png"}
            for path in output.glob("*_virtual_des.png"):
                path.unlink()

    def test_results_of_another_place_are_named_and_skipped(self, images, out, write):
        write(images / "P1.png")
        write(images / "P1_virtual_des.png")
        assert states(ImageFolder(images, out)) == {
            "P1.png": ("made", ""),
            "P1_virtual_des.png": ("skipped", "not an LE image: its name says that it is a virtual DES"),
        }


class TestDatalist:
    def test_the_le_images_of_its_cases(self, phantom, out):
        items = ImageFolder(phantom, out).items()
        cases = json.loads((phantom / "datalist.json").read_text())["cases"]
        assert items == [
            {
                "image": str(phantom / case["le"]),
                "laterality": case["laterality"],
                "output": str(out / case["le"].replace(".dcm", "_virtual_des.png")),
            }
            for case in cases
        ]
        assert {item["laterality"] for item in items} == {"L", "R"}

    def test_an_le_outside_the_folder_is_named_by_its_case(self, phantom, out, tmp_path):
        datalist = json.loads((phantom / "datalist.json").read_text())
        for case in datalist["cases"]:
            case["le"] = str((phantom / case["le"]).resolve())
        (tmp_path / "list").mkdir()
        (tmp_path / "list/datalist.json").write_text(json.dumps(datalist))
        found = [item["output"] for item in ImageFolder(tmp_path / "list", out).items()]
        assert found[:2] == [str(out / "PH0001_L_CC_virtual_des.png"), str(out / "PH0001_L_MLO_virtual_des.png")]

    def test_a_file_that_it_names_and_that_is_gone(self, phantom, out, tmp_path):
        study = shutil.copytree(phantom, tmp_path / "study")
        (study / "PH0001/PH0001_R_CC_LE.dcm").unlink()
        folder = ImageFolder(study, out)
        assert len(folder.items()) == 3
        state, reason = states(folder)["PH0001_R_CC_LE.dcm"]
        assert state == "failed"
        assert reason.startswith("There is no image file ")

    def test_without_it_des_and_maps_are_skipped(self, phantom, out, tmp_path):
        study = shutil.copytree(phantom, tmp_path / "study")
        (study / "datalist.json").unlink()
        folder = ImageFolder(study, out)
        assert [path_of(item["image"]).name for item in folder.items()] == [
            f"PH0001_{side}_{view}_LE.dcm" for side in "LR" for view in ("CC", "MLO")
        ]
        found = states(folder)
        des = {found[f"PH0001_{side}_{view}_DES.dcm"] for side in "LR" for view in ("CC", "MLO")}
        assert des == {("skipped", "not an LE image: it is DES")}
        he = {found[f"PH0001_{side}_{view}_HE.dcm"] for side in "LR" for view in ("CC", "MLO")}
        assert he == {("skipped", "not an LE image: it is HE")}
        maps = {state for name, state in found.items() if "SEG" in name}
        assert maps == {("skipped", "not an LE image: it holds two grey values alone, as a lesion map does")}
        assert len(found) == 4 * 3 + 2


class TestSkipped:
    @pytest.mark.parametrize(
        ("entries", "reason"),
        [
            ({"ImageType": ["DERIVED", "PRIMARY", "", "RECOMBINED"]}, "it is DES"),
            ({"ImageType": ["ORIGINAL", "PRIMARY", "", "HIGH_ENERGY"]}, "it is HE"),
            ({"Modality": "CT"}, "its modality is CT, expected MG"),
            ({"PresentationIntentType": "FOR PROCESSING"}, "it is FOR PROCESSING, expected FOR PRESENTATION"),
        ],
    )
    def test_dicom_that_says_what_it_is(self, images, out, write_dicom, entries, reason):
        write_dicom(images / "a.dcm", **entries)
        assert states(ImageFolder(images, out)) == {"a.dcm": ("skipped", f"not an LE image: {reason}")}

    def test_a_map_from_3d_slicer_does_not_take_its_image_s_name(self, images, out, breast):
        nrrd.write(str(images / "P1.nrrd"), breast.T[..., None])
        nrrd.write(str(images / "P1.seg.nrrd"), (breast > 200).astype(np.uint8).T[..., None])
        assert states(ImageFolder(images, out)) == {
            "P1.nrrd": ("made", ""),
            "P1.seg.nrrd": ("skipped", "not an LE image: its name says that it is a lesion map"),
        }


class TestFailed:
    def test_a_broken_file_and_the_rest_goes_on(self, images, out, write, breast):
        write(images / "good.png")
        (images / "broken.png").write_bytes(b"\x89PNG")
        write(images / "constant.png", np.full_like(breast, 7))
        image = breast.astype(np.float32)
        image[0, 0] = np.nan
        write(images / "nan.nii", image)
        write(images / "colour.png", np.dstack([breast, breast // 2, breast]))
        folder = ImageFolder(images, out)
        found = states(folder)
        assert [path_of(item["image"]).name for item in folder.items()] == ["good.png"]
        assert {state for name, (state, _) in found.items() if name != "good.png"} == {"failed"}
        assert str(images / "broken.png") in found["broken.png"][1]
        assert found["constant.png"][1] == "the image is constant (7 everywhere)"
        assert found["nan.nii"][1] == "the image holds 1 NaN or infinite pixels"
        assert "colour picture" in found["colour.png"][1]


class TestKept:
    def test_results_stay_unless_asked(self, images, out, write):
        write(images / "P1.png")
        write(images / "P2.png")
        make_results(ImageFolder(images, out))
        (out / "P2_virtual_des.png").unlink()
        again = ImageFolder(images, out)
        reason = "the result exists already; --overwrite True makes it anew"
        assert states(again) == {"P1.png": ("kept", reason), "P2.png": ("made", "")}
        assert [path_of(item["image"]).name for item in again.items()] == ["P2.png"]
        anew = ImageFolder(images, out, overwrite=True)
        assert states(anew) == {"P1.png": ("made", ""), "P2.png": ("made", "")}

    def test_what_is_kept_is_not_read_again(self, images, out, write):
        path = write(images / "P1.png")
        make_results(ImageFolder(images, out))
        path.write_bytes(b"broken since")
        assert states(ImageFolder(images, out))["P1.png"][0] == "kept"

    @pytest.mark.parametrize("name", ["P1.png", "P1.nii.gz"])
    def test_results_of_other_options_are_neither_kept_nor_replaced(self, images, out, write, name):
        source = write(images / name)
        model, other = "a" * 64, "b" * 64
        options = [
            making_options(*chosen, trained_size=256)
            for chosen in ((256, "fp32", "torch"), (128, "fp32", "torch"), (256, "bf16", "torch"))
        ]
        options.append(making_options("native", "fp32", "openvino", 256))
        assert options[0] == ""
        for made in options:
            (item,) = ImageFolder(images, out, overwrite=True).items()
            save_virtual_des(np.zeros((4, 3)), item["output"], source, model, made)
            for now in options:
                (state,) = states(ImageFolder(images, out, model=model, options=now)).values()
                assert state[0] == ("kept" if now == made else "failed"), (made, now)
                assert now == made or state[1] == (
                    "a result of another image size, precision or backend is there: --overwrite True replaces it, or "
                    "pass --output_dir"
                )
            (state,) = states(ImageFolder(images, out, model=other, options=made)).values()
            assert state[1].startswith("another model's result is there")


class TestFinish:
    def test_results_csv_and_silence_when_all_went_well(self, images, out, write, write_dicom, caplog):
        caplog.set_level(logging.INFO, logger="bundle")
        write(images / "a.png")
        write_dicom(images / "b.dcm", Modality="CT")
        folder = ImageFolder(images, out)
        make_results(folder)
        folder.finish()
        table = pd.read_csv(out / "results.csv", keep_default_na=False)
        assert table.to_dict("records") == [
            {
                "image": str(images / "a.png"),
                "output": str(out / "a_virtual_des.png"),
                "state": "made",
                "reason": "",
            },
            {
                "image": str(images / "b.dcm"),
                "output": str(out / "b_virtual_des.png"),
                "state": "skipped",
                "reason": "not an LE image: its modality is CT, expected MG",
            },
        ]
        assert caplog.messages == [f"{out / 'results.csv'}: 1 made, 1 skipped"]

    def test_a_failure_ends_with_status_1(self, images, out, write, caplog):
        write(images / "a.png")
        (images / "broken.png").write_bytes(b"\x89PNG")
        folder = ImageFolder(images, out)
        make_results(folder)
        with pytest.raises(SystemExit) as status:
            folder.finish()
        assert status.value.code == 1
        assert list(pd.read_csv(out / "results.csv")["state"]) == ["made", "failed"]
        (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert error.getMessage().startswith(f"{images / 'broken.png'}: ")

    def test_a_result_that_was_not_written_is_a_failure(self, images, out, write):
        write(images / "a.png")
        folder = ImageFolder(images, out)
        folder.items()
        with pytest.raises(SystemExit):
            folder.finish()
        table = pd.read_csv(out / "results.csv")
        assert table.loc[0, ["state", "reason"]].to_list() == ["failed", "no result was written"]

    def test_no_image_ends_with_status_1(self, images, out, caplog):
        caplog.set_level(logging.INFO, logger="bundle")
        folder = ImageFolder(images, out)
        assert folder.items() == []
        with pytest.raises(SystemExit) as status:
            folder.finish()
        assert status.value.code == 1
        assert caplog.messages == [f"{out / 'results.csv'}: no image"]
        assert pd.read_csv(out / "results.csv").columns.to_list() == ["image", "output", "state", "reason"]

    def test_all_kept_is_a_success(self, images, out, write):
        write(images / "a.png")
        make_results(ImageFolder(images, out))
        folder = ImageFolder(images, out)
        assert folder.items() == []
        folder.finish()
        assert list(pd.read_csv(out / "results.csv")["state"]) == ["kept"]
