"""The choice over several plans, the patients whom it has seen, and the choice of each fold by itself."""

from __future__ import annotations

import json

import pytest

from bundle.experiments.choice import choose_model
from bundle.experiments.plan import Plan, Run
from scripts.report import _choice as chosen_of


@pytest.fixture
def planned(tmp_path):
    """Writes a plan and the cards of its runs; a model's errors by fold."""

    def write(name, of_models, k=5, **stage_2):
        folder, runs = tmp_path / name, []
        (tmp_path / "folds.json").write_text(json.dumps({"k": k}))
        for model, errors in of_models.items():
            for fold, error in errors.items():
                gamma, method = (int(model[6:]), None) if model.startswith("gamma_") else (0, model)
                given = {"folds": str(tmp_path / "folds.json")}
                run = Run(f"{model}/fold_{fold}", "training", 2, gamma, fold, [], [], given, method=method)
                runs.append(run)
                card = folder / run.name / "models/model.json"
                card.parent.mkdir(parents=True)
                card.write_text(json.dumps({"validation": {"val_lesion_l1": error, "val_loss": 1}}))
        Plan(folder, {"stage_2": stage_2}, runs).write()
        return folder

    return write


def test_tested_folds_that_take_part_are_named(planned):
    first = planned("first", {"gamma_0": {0: 0.2, 1: 0.2, 2: 0.2}})
    assert choose_model(first)["overlap"] == [1, 2]  # fold 0 validates on fold 1, fold 1 on fold 2, fold 2 on fold 3
    assert choose_model(planned("one", {"gamma_0": {3: 0.2}}))["overlap"] == []
    apart = planned("apart", {"gamma_0": {0: 0.2, 2: 0.2, 4: 0.2}})
    assert choose_model(apart)["overlap"] == [0]  # the last fold validates on the first one
    (apart.parent / "folds.json").unlink()
    assert choose_model(apart)["overlap"] == []


def test_each_fold_has_a_choice_of_its_own(planned):
    errors = {"gamma_0": {0: 0.3, 1: 0.1}, "gamma_35": {0: 0.2, 1: 0.3}, "mine": {0: 0.2, 1: 0.15}}
    choice = choose_model(planned("runs", errors))
    assert choice["model"] == "mine"
    assert choice["nested"] == {0: "gamma_35", 1: "gamma_0"}  # of equals a gamma


def test_plans_are_chosen_from_together_on_the_folds_that_all_have(planned):
    paper = planned("paper", {"gamma_0": {0: 0.3, 1: 0.0, 2: 0.0}, "gamma_35": {0: 0.4, 1: 0.0, 2: 0.0}})
    pairs = planned("pairs", {"unet_l1": {0: 0.2}, "resnet_l1": {0: 0.1}})
    choice = choose_model(paper, pairs)
    assert (choice["model"], choice["gamma"], choice["nested"]) == ("resnet_l1", 0, {0: "resnet_l1"})
    assert choice["values"]["0"] == {"mean": 0.3, "folds": {0: 0.3}}
    assert list(choice["methods"]) == ["unet_l1", "resnet_l1"]
    assert choice["overlap"] == []
    apart = choose_model(paper, planned("other", {"mine": {4: 0.1}}))
    assert (apart["gamma"], apart["reason"]) == (None, "the models share no fold")


def test_plans_that_do_not_fit_are_refused(planned):
    first = planned("first", {"gamma_0": {0: 0.3}}, datalist_hash="a", folds_hash="b")
    other = planned("other", {"gamma_0": {0: 0.3}, "mine": {0: 0.1}}, datalist_hash="c", folds_hash="b")
    with pytest.raises(ValueError, match="different values of datalist_hash; gamma_0 stands in several plans") as error:
        choose_model(first, other)
    assert "each model has a method, gamma or seed of its own" in str(error.value)
    with pytest.raises(ValueError, match=r"there is no plan in .*nowhere"):
        choose_model(first, first.parent / "nowhere")


def test_a_report_of_several_studies_chooses_among_all_of_them(planned, caplog):
    first, other = planned("first", {"gamma_0": {0: 0.3}}), planned("other", {"mine": {0: 0.1}})
    assert chosen_of([str(first), str(other)])["model"] == "mine"
    assert chosen_of([str(first)]) is None  # its choice.json says
    assert chosen_of([str(first), str(planned("again", {"gamma_0": {0: 0.3}}))]) == {}
    assert "the report shows no choice of a model: no model can be chosen: gamma_0 stands in several" in caplog.text
