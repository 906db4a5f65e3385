"""What keeps a run from starting, all of it in one error."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from bundle.data import fold_items, write_folds
from bundle.experiments import check, check_evaluation, check_inference, check_training
from bundle.experiments.command_line import CommandLine
from bundle.networks import ResnetGenerator
from bundle.networks.weights import read_card, save_weights


def problems_of(function, settings, command_line=None):
    """The numbered lines of the error; a run from the command line ends with them alone, without a traceback."""
    with pytest.raises(ValueError if command_line is None else SystemExit, match="cannot start") as caught:
        function(settings, command_line)
    head, *lines = str(caught.value).splitlines()
    what, count = re.fullmatch(r"(\w+) cannot start, (\d+) problem\(s\):", head).groups()
    assert function.__name__ == f"check_{what}"
    assert len(lines) == int(count)
    for number, line in enumerate(lines, start=1):
        assert line.startswith(f"  {number}. ")
    return [line.split(". ", 1)[1] for line in lines]


def items_of(study, part, fold=0):
    return fold_items(study / "datalist.json", study / "folds.json", fold, part)


def overrides(tmp_path, **given):
    config = tmp_path / "train.json"
    config.write_text(json.dumps({"about": "a run", "gamma": 35, "train": {"dataset": 1}}))
    return CommandLine([str(config)], given)


class TestTraining:
    def test_a_good_study_passes(self, phantom, settings_of):
        check_training(settings_of(phantom))

    def test_everything_at_once(self, study, settings_of, tmp_path):
        trained_on, validated_on = (items_of(study, part)[3] for part in ("training", "validation"))
        Path(trained_on["le"]).unlink()
        Path(validated_on["des"]).write_bytes(b"x")
        settings = settings_of(study, batch_size=0, precision="fp8", resume=True)
        found = problems_of(check_training, settings, overrides(tmp_path, gama=3))
        expected = [
            "--gama: the config has no such key. Did you mean --gamma?",
            "batch_size is 0, expected a whole number of at least 1.",
            "precision is 'fp8', expected fp32, bf16 or fp16.",
            f"resume is True, but {tmp_path / 'models'} has no checkpoint.pt.",
            f"{trained_on['case_id']}: le: There is no image file {trained_on['le']}.",
            f"{validated_on['case_id']}: des: {validated_on['des']} is named .dcm but lacks 'DICM'",
        ]
        assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected

    def test_a_mistake_on_the_command_line_is_named_once(self, phantom, settings_of, tmp_path):
        found = problems_of(check_training, settings_of(phantom, gamma="lots"), overrides(tmp_path, gamma="lots"))
        assert found == ["--gamma lots: expected a number, like the config's 35."]
        found = problems_of(check_training, settings_of(phantom, gamma=-1), overrides(tmp_path, gamma=-1))
        assert found == ["gamma is -1, expected a number of at least 0."]

    def test_images_of_the_test_part_are_not_its_business(self, study, settings_of):
        Path(items_of(study, "test")[0]["le"]).unlink()
        check_training(settings_of(study, fold=0))
        found = [problems_of(check_training, settings_of(study, fold=fold)) for fold in (1, 2)]
        assert [len(lines) for lines in found] == [1, 1]  # validation part of one, training part of the other

    def test_a_missing_study(self, settings_of, tmp_path):
        (found,) = problems_of(check_training, settings_of(tmp_path / "nowhere"))
        assert found.startswith(
            f"There is no datalist {tmp_path / 'nowhere/datalist.json'}. Make one: python -m scripts"
        )

    def test_missing_folds(self, study, settings_of):
        (study / "folds.json").unlink()
        (found,) = problems_of(check_training, settings_of(study))
        assert found.startswith(f"There are no folds {study / 'folds.json'}. Make them: python -m scripts.folds")

    def test_a_datalist_that_has_changed_since(self, study, settings_of):
        datalist = json.loads((study / "datalist.json").read_text())
        datalist["cases"].pop()
        (study / "datalist.json").write_text(json.dumps(datalist))
        (found,) = problems_of(check_training, settings_of(study))
        assert "was made from 24 cases, the datalist has 23" in found

    @pytest.mark.parametrize(("fold", "said"), [(3, "has folds 0 to 2"), ("0", "expected a whole number")])
    def test_a_fold_that_is_none(self, phantom, settings_of, fold, said):
        (found,) = problems_of(check_training, settings_of(phantom, fold=fold))
        assert said in found

    def test_lesions_of_an_unknown_kind(self, phantom, settings_of):
        (found,) = problems_of(check_training, settings_of(phantom, lesions="benign"))
        assert found == "lesions is 'benign', expected 'all' or 'malignant'."

    def test_paths_that_are_numbers(self, settings_of, tmp_path):
        found = problems_of(check_training, settings_of(tmp_path, datalist=1, folds=2, dataset_dir=3))
        assert [line.split()[0] for line in found] == ["dataset_dir", "datalist", "folds"]

    def test_least_inside_and_margin_come_from_the_settings(self, study, settings_of):
        """A map of which a quarter lies in the breast, the rest in the air beside it."""
        case = next(case for case in json.loads((study / "datalist.json").read_text())["cases"] if case["seg"])
        affine = np.diag([-1.0, -1.0, 1.0, 1.0])
        breast = pydicom.dcmread(study / case["le"]).pixel_array > 0
        row = breast.shape[0] // 2
        inside = np.flatnonzero(breast[row])
        seg = np.zeros(breast.shape, np.uint8)
        nipple = int(inside.max() if case["laterality"] == "L" else inside.min())
        step = 1 if case["laterality"] == "L" else -1
        seg[row, [nipple + step * (offset - 1) for offset in range(8)]] = 1  # 2 in, 6 out
        nibabel.save(nibabel.Nifti1Image(seg.T[..., None], affine), study / case["seg"])
        fold = json.loads((study / "folds.json").read_text())["folds"][case["patient_id"]]
        other = settings_of(study, fold=(fold + 1) % 3)  # one in which the case is trained on
        (found,) = problems_of(check_training, {**other, "breast_margin": 0.0})
        assert f"{case['case_id']}: seg {study / case['seg']}: only 25% of it lie inside" in found
        check_training({**other, "breast_margin": 0.0, "least_inside": 0.25})
        check_training({**other, "breast_margin": 0.2})


class TestSeveralProcesses:
    """What rank 0 finds, every rank raises; only rank 0 reads the images."""

    @pytest.fixture
    def rank(self, monkeypatch):
        def become(rank, world_size, heard=()):
            def broadcast(shared):
                sent.append(list(shared[0]))
                if rank:
                    shared[0] = list(heard)

            sent = []
            monkeypatch.setattr(check.dist, "is_initialized", lambda: True)
            monkeypatch.setattr(check.dist, "get_rank", lambda: rank)
            monkeypatch.setattr(check.dist, "get_world_size", lambda: world_size)
            monkeypatch.setattr(check.dist, "broadcast_object_list", broadcast)
            return sent

        return become

    def test_rank_0_sends_what_it_found(self, settings_of, tmp_path, rank):
        sent = rank(0, 2)
        found = problems_of(check_training, settings_of(tmp_path))
        assert sent == [found]

    def test_another_rank_hears_it_and_reads_nothing(self, settings_of, phantom, rank, monkeypatch):
        monkeypatch.setattr(check, "data_problems", lambda *_: pytest.fail("read images"))
        rank(1, 2, heard=["P1_L_CC: le is constant."])
        assert problems_of(check_training, settings_of(phantom)) == ["P1_L_CC: le is constant."]
        rank(1, 2, heard=[])
        check_training(settings_of(phantom))

    def test_only_rank_0_prints_the_list(self, settings_of, phantom, tmp_path, rank):
        for number, code in ((0, "training cannot start, 1 problem(s):\n  1. --gama: the config"), (1, 1)):
            rank(number, 2, heard=["--gama: the config has no such key."])
            with pytest.raises(SystemExit) as status:
                check_training(settings_of(phantom), overrides(tmp_path, gama=3))
            found = status.value.code
            assert (found[: len(code)] if isinstance(code, str) else found) == code

    def test_fewer_pairs_than_processes(self, phantom, settings_of, rank):
        rank(0, 16)
        found = problems_of(check_training, settings_of(phantom, batch_size=16))
        assert found == [
            f"the {part} part of fold 0 has 8 pairs, expected one for each of 16 process(es). "
            "Start fewer processes, or make folds with a smaller k."
            for part in ("training", "validation")
        ]


class TestEvaluation:
    @pytest.fixture
    def settings(self, phantom, trained, settings_of):
        return lambda **changed: settings_of(phantom, ckpt_path=str(trained), part="test", **changed)

    def test_a_model_on_the_test_part_of_its_own_fold(self, settings):
        check_evaluation(settings())
        check_evaluation({**settings(), "part": "training"})

    def test_what_only_a_training_needs_is_not_asked_for(self, settings):
        check_evaluation(settings(resume=True, init_checkpoint="gone.pt"))

    def test_a_model_of_another_fold(self, settings, trained):
        assert problems_of(check_evaluation, settings(fold=1)) == [
            f"{trained} was trained with another split of this list (fold 0): its training patients may stand in the "
            "test part of fold 1. Pass --fold 0 and the folds of that training."
        ]

    def test_a_model_of_other_folds_of_the_same_list(self, settings, phantom, tmp_path):
        folds = write_folds(phantom / "datalist.json", tmp_path / "other.json", k=3, seed=7)
        one, other = (json.loads(path.read_text())["folds"] for path in (folds, phantom / "folds.json"))
        assert one != other
        (found,) = problems_of(check_evaluation, settings(folds=str(folds)))
        assert "another split of this list (fold 0)" in found

    def test_a_federated_model_one_of_whose_sites_had_another_fold(self, settings, trained, change_card):
        site = {name: read_card(trained)[name] for name in ("datalist_hash", "data_hash")}
        change_card(datalist_hash="0" * 64, data_hash="1" * 64, datalist="A: CESM phantom; B: another")
        check_evaluation(settings(fold=1))
        change_card(federation={"sites": [{"fold": 2}, {"init": {**site, "fold": 0}}]})
        (found,) = problems_of(check_evaluation, settings(fold=1))
        assert "another split of this list (fold 0)" in found

    def test_an_external_list_is_welcome(self, settings, change_card, caplog):
        change_card(datalist_hash="0" * 64, data_hash="1" * 64, datalist="CDD-CESM")
        check_evaluation(settings())
        assert caplog.records == []

    def test_another_version_of_the_list_is_warned_of(self, settings, change_card, trained, caplog):
        change_card(datalist_hash="0" * 64, data_hash="1" * 64)
        check_evaluation(settings())
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert f"{trained} was trained on another version of the list 'CESM phantom'" in caplog.text

    def test_another_image_size(self, settings, trained):
        assert problems_of(check_evaluation, settings(image_size=64)) == [
            f"{trained} was trained at 32 px, but image_size is 64. Pass --image_size 32."
        ]

    def test_an_unknown_part(self, settings):
        found = problems_of(check_evaluation, {**settings(), "part": "testing"})
        assert found == ["part is 'testing', expected one of training, validation, test."]

    def test_no_model_and_broken_data_at_once(self, settings, study, tmp_path):
        broken = items_of(study, "training")[0]
        Path(broken["le"]).unlink()
        changed = {name: str(study / f"{name}.json") for name in ("datalist", "folds")}
        found = problems_of(
            check_evaluation, {**settings(), **changed, "ckpt_path": str(tmp_path / "no.pt"), "part": "training"}
        )
        assert [line.split(".")[0] for line in found] == [
            f"there is no model {tmp_path / 'no'}",
            f"{broken['case_id']}: le: There is no image file {broken['le'].removesuffix('.dcm')}",
        ]  # the pair is named once, though the floors need the training part as well

    def test_a_model_named_by_a_number(self, settings):
        (found,) = problems_of(check_evaluation, {**settings(), "ckpt_path": 5})
        assert found.startswith("ckpt_path is 5, expected a path")


class TestInference:
    @pytest.fixture
    def settings(self, phantom, trained):
        return {
            "dataset_dir": str(phantom),
            "output_dir": "out",
            "ckpt_path": str(trained),
            "device": "cpu",
            "batch_size": 1,
            "num_workers": 0,
            "overwrite": False,
        }

    def test_a_good_one(self, settings):
        check_inference(settings)

    def test_everything_at_once(self, settings, tmp_path):
        wrong = {"dataset_dir": str(tmp_path / "no"), "ckpt_path": str(tmp_path / "no.pt"), "overwrite": "yes"}
        found = problems_of(check_inference, {**settings, **wrong}, overrides(tmp_path, datset_dir="x"))
        starts = ["--datset_dir: the config", "overwrite is 'yes'", "there is no model", "there is no folder"]
        assert [line[: len(start)] for line, start in zip(found, starts, strict=True)] == starts
        assert found[-1] == f"there is no folder {tmp_path / 'no'}. Pass --dataset_dir IMAGES."

    def test_a_file_is_no_folder(self, settings, trained):
        (found,) = problems_of(check_inference, {**settings, "dataset_dir": str(trained)})
        assert found.startswith(f"there is no folder {trained}")

    def test_a_missing_card(self, settings, trained):
        trained.with_suffix(".json").unlink()
        (found,) = problems_of(check_inference, settings)
        assert f"{trained} has no card {trained.with_suffix('.json')}" in found

    def test_a_foreign_card(self, settings, trained, tmp_path):
        save_weights(tmp_path / "other.pt", ResnetGenerator(width=4, num_blocks=1), {"image_size": 32})
        trained.write_bytes((tmp_path / "other.pt").read_bytes())
        (found,) = problems_of(check_inference, settings)
        assert found.startswith(f"{trained.with_suffix('.json')} belongs to other weights")

    def test_paths_that_are_numbers(self, settings):
        found = problems_of(check_inference, {**settings, "dataset_dir": 1, "output_dir": 2, "ckpt_path": 3})
        assert [line.split()[0] for line in found] == ["dataset_dir", "output_dir", "ckpt_path"]
