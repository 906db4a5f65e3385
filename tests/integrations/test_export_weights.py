"""``python -m scripts.export weights``: what the card of a shipped model says, and which runs are refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import bundle.integrations.export.weights as module
from bundle.data.datalist import write_datalist
from bundle.data.folds import write_folds
from bundle.data.provenance import fold_hash
from bundle.integrations.export.weights import write_weights
from bundle.networks import ResnetGenerator
from bundle.networks.weights import card_problems, read_card, save_weights
from scripts import export
from scripts.command_line import call

NETWORK = {"in_channels": 1, "width": 2, "num_downsamples": 2, "num_blocks": 1}
LICENCE, ATTRIBUTION = "CC BY 4.0", "Doe J. et al., Made-up CESM (2026), https://doi.org/10.1/x"
FOLD = 1


def edit(path, **entries):
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def write_run(root: Path) -> Path:
    """A training on 36 women in three folds, two images each, and its evaluation; every third value is her number's."""
    views = ("CC", "MLO")
    cases = [
        {"case_id": f"P{number:02}_L_{view}", "patient_id": f"P{number:02}", "laterality": "L", "view": view}
        | {"le": "le.png", "des": "des.png", "seg": "seg.png"}
        for number in range(36)
        for view in views
    ]
    write_datalist(root / "data/datalist.json", "Made-up CESM", "Hospital X", "CC BY-SA", cases)
    folds = write_folds(root / "data/datalist.json", k=3)
    provenance = fold_hash(root / "data/datalist.json", folds, FOLD)
    card = {"name": "toy", "notice": "Research software.", "image_size": 32, "network": NETWORK}
    card |= {"intensity": {"method": "window"}, **provenance, "fold": FOLD, "epoch": 4}
    card = save_weights(root / "run/models/model.pt", ResnetGenerator(**NETWORK), card)
    config = {"dataset_dir": str(root / "data"), "datalist": "$@dataset_dir + '/datalist.json'", "fold": FOLD}
    config |= {"batch_size": 5, "learning_rate": 2e-4, "folds": str(folds)}
    record = {"state": "completed", "provenance": provenance, "epochs": 6, "wall_time_seconds": 90.5, "config": config}
    (root / "run/eval").mkdir()
    (root / "run/eval/run.json").write_text(json.dumps(record | {"machine": {"cpu": "A Processor 7"}}))
    evaluation = {"state": "completed", "provenance": provenance, "part": "test", "model": card, "config": config}
    (root / "run/eval/evaluation.json").write_text(json.dumps(evaluation))
    fold_of = json.loads(folds.read_text())["folds"]
    rows = []
    for case in cases:
        if fold_of[case["patient_id"]] != FOLD:
            continue
        number = int(case["patient_id"][1:])
        leading = {key: case[key] for key in ("case_id", "patient_id", "laterality", "view")}
        leading |= {"fold": FOLD, "has_seg": True, "lesion_contrast_real": number / 100}
        for model, psnr, contrast in (("cyclegan", 20, 0.01), ("floor_le", 15, 0.02), ("floor_constant", 18, np.nan)):
            values = {"psnr": psnr + number, "ssim": 0.5, "lesion_l1": 0.2, "background_l1": number / 100}
            values |= {"lesion_contrast_virtual": number * contrast, "lesion_le_correlation_virtual": 0.9}
            rows.append({**leading, "model": model, "gamma": 0 if model == "cyclegan" else np.nan, **values})
    pd.DataFrame(rows).to_csv(root / "run/eval/metrics.csv", index=False)
    return root / "run"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("made")
    return write_run(root), write_weights(root / "run", root / "out.pt", LICENCE, ATTRIBUTION), root / "out.pt"


@pytest.fixture
def run(made, tmp_path):
    return Path(shutil.copytree(made[0], tmp_path / "run"))


def refused(run, **arguments) -> list[str]:
    arguments = {"output": run.parent / "new.pt", "licence": LICENCE, "attribution": ATTRIBUTION} | arguments
    with pytest.raises(ValueError, match=r"\.$") as caught:
        write_weights(run, **arguments)
    assert not (run.parent / "new.pt").exists()
    return str(caught.value).splitlines()


class TestCard:
    def test_the_weights_are_the_same_bytes_and_the_card_keeps_what_it_had(self, made):
        run, card, output = made
        assert output.read_bytes() == (run / "models/model.pt").read_bytes()
        assert card_problems(output) == []
        assert read_card(output) == card
        assert card.items() >= read_card(run / "models/model.pt").items()
        assert card["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()

    def test_whose_data_and_how_many_women(self, made):
        card = made[1]
        assert card["licence"] == LICENCE
        assert card["data"] == {
            **{"name": "Made-up CESM", "source": "Hospital X", "licence": "CC BY-SA", "attribution": ATTRIBUTION}
        }
        assert card["cases"] == {
            part: {"women": 12, "pairs": 24} for part in ("training", "validation", "test")
        }  # k = 3: a fold each

    def test_steps_are_those_of_the_kept_epoch(self, made):
        assert made[1]["training"] == {
            **{"epochs": 6, "kept_epoch": 4, "iterations_an_epoch": 5, "steps": 20},  # 24 pairs, 5 at once
            **{"batch_size": 5, "learning_rate": 2e-4, "seconds": 90.5, "machine": {"cpu": "A Processor 7"}},
        }

    def test_results_with_intervals_and_floors_beside(self, made):
        run, card, _ = made
        table = pd.read_csv(run / "eval/metrics.csv")
        mean = table[table["model"] == "cyclegan"].groupby("patient_id")["psnr"].mean().mean()
        found = card["results"]
        assert {key: found[key] for key in ("part", "fold", "women", "images")} == {
            **{"part": "test", "fold": FOLD, "women": 12, "images": 24}
        }
        psnr = found["metrics"]["psnr"]
        assert psnr["value"] == pytest.approx(mean, rel=1e-5)
        assert psnr["low"] < psnr["value"] < psnr["high"]
        assert (psnr["women"], psnr["images"]) == (12, 24)
        assert psnr["floor_le"]["value"] == pytest.approx(mean - 5, rel=1e-5)
        assert psnr["floor_constant"]["value"] == pytest.approx(mean - 2, rel=1e-5)
        assert list(found["metrics"]) == [
            *("psnr", "ssim", "lesion_l1", "background_l1", "lesion_contrast_error"),
            *("lesion_le_correlation_virtual", "lesion_contrast_r"),
        ]

    def test_a_floor_without_a_value_is_left_out(self, made):
        contrast = made[1]["results"]["metrics"]["lesion_contrast_r"]
        assert contrast["value"] == pytest.approx(1)  # virtual = real in these rows
        assert "floor_le" in contrast
        assert "floor_constant" not in contrast

    def test_what_is_said_besides(self, run, tmp_path):
        arguments = (LICENCE, ATTRIBUTION, "L1 on pairs", "No discriminator.", "python -m monai.bundle run training")
        card = write_weights(run, tmp_path / "b.pt", *arguments)
        assert [card[key] for key in ("licence", "name", "method_note", "command")] == [LICENCE, *arguments[2:]]
        edit(run / "eval/run.json", config=json.loads((run / "eval/run.json").read_text())["config"] | {"resume": True})
        card = write_weights(run, tmp_path / "b.pt", LICENCE, ATTRIBUTION, overwrite=True)
        assert card["training"]["seconds_since"] == "the resume"
        assert "command" not in card

    def test_what_a_start_from_other_weights_took_is_not_in_the_steps(self, run, tmp_path):
        init = {"datalist": "CESM phantom", "datalist_hash": "a", "data_hash": "b", "epochs": 20, "steps": 400}
        edit(run / "models/model.json", init=init)
        card = write_weights(run, tmp_path / "b.pt", LICENCE, ATTRIBUTION)
        assert card["init"] == init
        assert card["training"]["steps"] == 20
        assert card["training"]["stage"] == "the last one alone; init says what is known of those before"

    def test_another_method_has_not_the_papers_name(self, run, tmp_path):
        edit(run / "models/model.json", name="Seg-CycleGAN LE to virtual DES", method="resnet_l1+averaged")
        card = write_weights(run, tmp_path / "b.pt", LICENCE, ATTRIBUTION)
        assert card["name"] == "resnet_l1+averaged, LE to virtual DES"
        edit(run / "models/model.json", method=None)
        card = write_weights(run, tmp_path / "b.pt", LICENCE, ATTRIBUTION, overwrite=True)
        assert card["name"] == "Seg-CycleGAN LE to virtual DES"


class TestRefused:
    def test_what_is_there_already_what_is_too_large_and_empty_words(self, run):
        output = run.parent / "there.pt"
        output.with_suffix(".json").write_text("{}")
        assert refused(run, output=output, most_mb=0.001, licence=" ") == [
            f"{output.with_suffix('.json')} is there already. Pass --overwrite, or another --output.",
            "licence is ' ', expected the words of it.",
            f"{run}/models/model.pt has 0.0 MB, expected 0.001 at most: train a narrower network.",
        ]
        assert refused(run, output=run.parent / "new.bin") == [
            f"--output is {run.parent}/new.bin, expected a file whose name ends with .pt."
        ]

    def test_a_run_that_was_not_evaluated(self, run):
        for name in ("evaluation.json", "metrics.csv"):
            (run / "eval" / name).unlink()
        assert refused(run) == [
            f"{run} lacks eval/evaluation.json, eval/metrics.csv: pass the folder of a training that was evaluated."
        ]

    def test_a_card_without_provenance_and_a_start_from_another_split(self, run):
        edit(run / "models/model.json", fold=None)
        assert refused(run) == [f"{run}/models/model.json lacks fold: nobody could tell what the model was trained on."]
        card = read_card(run / "models/model.pt")
        edit(run / "models/model.json", fold=FOLD, init={"datalist_hash": card["datalist_hash"], "data_hash": "0"})
        (said,) = refused(run)
        assert "women of the test part may stand in it" in said
        edit(run / "models/model.json", init={"datalist_hash": "other", "init": {**card, "data_hash": "0"}})
        (said,) = refused(run)
        assert "women of the test part may stand in it" in said  # of the stage before that

    def test_another_model_part_and_fold(self, run):
        card = read_card(run / "models/model.pt")
        other = {"sha256": "0" * 64}
        edit(run / "eval/evaluation.json", model=other, part="validation", state="running")
        edit(run / "eval/run.json", provenance={"data_hash": "1" * 64})
        assert refused(run)[:4] == [
            f"{run}/eval/run.json is of other data or another fold than the card (fold {FOLD}).",
            f"{run}/eval/evaluation.json says 'running', expected 'completed': let it come to its end.",
            f"{run}/eval/evaluation.json judged the model 000000000000..., expected {card['sha256'][:12]}..., which is "
            f"{run}/models/model.pt: evaluate that one.",
            f"{run}/eval/evaluation.json is of the part 'validation', expected 'test'.",
        ]

    def test_rows_of_other_images(self, run):
        path = run / "eval/metrics.csv"
        table = pd.read_csv(path)
        table[table["case_id"] != table["case_id"][0]].to_csv(path, index=False)
        said = f"{path} does not hold the images of the test part of fold {FOLD}, all of them and no other."
        assert refused(run) == [said]

    def test_a_list_that_has_changed(self, run):
        config = json.loads((run / "eval/run.json").read_text())["config"] | {"dataset_dir": "nowhere", "folds": "no"}
        edit(run / "eval/run.json", config=config)
        (said,) = refused(run)
        assert said.startswith(f"{run}/eval/run.json: Made-up CESM: the list or its folds no longer lie where run.json")

    @pytest.mark.parametrize("place", ["/home/me/cdd/", "run at /srv/x.json", "~/data/x", "C:\\study"])
    def test_a_path_of_a_machine(self, run, place):
        (said,) = refused(run, method_note=f"see {place}")
        assert said.startswith("the card would name paths of a machine: ")

    def test_no_path_is_what_is_none(self):
        said = "https://doi.org/10.7937/29kw-ae92, configs/ablation/paired.json, L1/L2, w/o, and/or 3/4"
        assert module._places({"a": [said]}) == []


def test_the_command(run, tmp_path, capsys):
    words = ["weights", "--run", str(run), "--output", str(tmp_path / "m.pt"), "--licence", LICENCE]
    call(export.weights, export.zoo, arguments=[*words, "--attribution", ATTRIBUTION])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tmp_path}/m.pt: toy, 0.0 MB, and its card"
    assert lines[1] == "test part: 24 images of 12 women, 95 % intervals over women"
    assert lines[2].startswith("  psnr: ")
    assert ", floor_le " in lines[2]
    with pytest.raises(ValueError, match=r"m\.pt is there already"):
        call(export.weights, export.zoo, arguments=[*words, "--attribution", ATTRIBUTION])


def test_without_a_model_a_command_takes_what_ships_and_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert export._model(None) == "models/model.pt"
    assert capsys.readouterr().out == ""
    Path("models").mkdir()
    Path("models/recommended.pt").touch()
    assert export._model(None) == "models/recommended.pt"
    assert capsys.readouterr().out == "there is no models/model.pt: models/recommended.pt is taken\n"
    assert export._model("x.pt") == "x.pt"
