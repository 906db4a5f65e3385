"""What checklists say of a study with the paper's method and others: each by itself, and nothing that it has not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from made_up_study import GENERATOR, change, texts, write_study

from bundle.evaluation.checklists import read_study
from bundle.networks import PatchDiscriminator, ResnetGenerator, generator_of_card

ROOT = Path(__file__).parents[2]
UNET = {"name": "unet", "in_channels": 1, "width": 4, "num_downsamples": 4}


def add_method(root, name, network, **keys):
    """The runs of gamma 0 once more, as a baseline with its own overlay leaves them."""
    overlay = json.loads((ROOT / f"configs/baselines/{name}.json").read_text(encoding="utf-8"))
    for path in sorted((root / "gamma_0").glob("fold_*")):
        other = shutil.copytree(path, root / name / path.name)
        table = pd.read_csv(other / "eval/metrics.csv")
        own = table["model"] == "cyclegan"
        table.loc[own, ["model", "gamma"]] = [name, float("nan")]
        table.to_csv(other / "eval/metrics.csv", index=False)

        def record(run):
            config = run["config"] | {key: value for key, value in overlay.items() if key[0] != "+" and "#" not in key}
            run["config"] = config | {"train": {**config["train"], "trainer": overlay["train#trainer"]}} | keys

        change(other / "eval/run.json", record)
        none = {"gamma": None, "lambda_cycle": None, "lambda_identity": None, "method": name, "network": network}
        change(other / "models/model.json", lambda card, none=none: card.update(none))
    return root


def parameters(network):
    return f"{sum(one.numel() for one in network.parameters()):,} parameters"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = write_study(tmp_path_factory.mktemp("methods") / "RUNS")
    add_method(root, "unet_l1", UNET, max_epochs=40, lesion_weight=10.0)
    return add_method(root, "pix2pix", GENERATOR)


@pytest.fixture(scope="module")
def study(root):
    return read_study(root)


def of(said, method):
    return [text for text in said if text.startswith(method)]


def test_methods_are_named_beside_the_paper_and_have_no_gamma(study):
    assert study.gammas == ["0", "35"]
    assert texts(study, "technique")[1] == "Trained here beyond the paper's method: Pix2Pix (ResNet, LSGAN); U-Net, L1."
    assert texts(study, "comparison") == [
        "Compared here: weight gamma of the masked losses 0 (plain CycleGAN), 35.",
        "Compared with it: Pix2Pix (ResNet, LSGAN); U-Net, L1.",
    ]


def test_a_baseline_has_the_networks_that_it_has(study):
    said = texts(study, "architecture")
    (unet,) = of(said, "U-Net, L1")
    assert unet == (
        "U-Net, L1. Generator (LE to DES alone): U-Net, in channels 1, width 4, down-samplings 4; "
        f"{parameters(generator_of_card(UNET))} (counted by building it)."
    )
    generator, discriminator = of(said, "Pix2Pix")
    assert parameters(ResnetGenerator(**GENERATOR)) in generator
    assert discriminator.startswith(
        "Pix2Pix (ResNet, LSGAN). Discriminator of LE and DES side by side: PatchGAN, in channels 2, width 64"
    )
    assert parameters(PatchDiscriminator(in_channels=2)) in discriminator
    assert sum(text.startswith(("Generators (", "Discriminators (")) for text in said) == 2  # the paper's alone


def test_losses_are_those_of_each_method(study):
    said = texts(study, "losses")
    assert "weighted by gamma (35)" in said[0]
    (unet,) = of(said, "U-Net, L1")
    assert unet.startswith("U-Net, L1: MONAI's ")
    assert "trained on pairs: mean L1(G(LE), DES). Minimised" in unet
    assert unet.endswith("Minimised on pairs: 1 x mean L1 of virtual and real DES, a lesion pixel counted 11 times.")
    (pix2pix,) = of(said, "Pix2Pix")
    assert pix2pix.endswith("100 x mean L1 of virtual and real DES + 1 x least-squares adversarial.")
    assert not any("cycle (L1)" in text or "()" in text for text in said[1:])


def test_optimisation_is_of_each_method(study):
    said = texts(study, "optimisation")
    assert "at most 200 epochs" in said[0]
    first, also = of(said, "U-Net, L1")
    assert "at most 40 epochs" in first
    assert "discriminators" not in also


def test_of_baselines_alone_nothing_is_said_of_the_paper(root, tmp_path):
    alone = shutil.copytree(root, tmp_path / "RUNS")
    for name in ("gamma_0", "gamma_35"):
        shutil.rmtree(alone / name)
    study = read_study(alone)
    said = [text for fact in ("technique", "comparison", "architecture", "losses") for text in texts(study, fact)]
    assert "Compared here: Pix2Pix (ResNet, LSGAN); U-Net, L1." in said
    for word in ("CycleGAN,", "masked", "gamma", "DES to LE", "()"):
        assert not any(word in text for text in said), word


def test_the_model_that_was_chosen_is_named(root, tmp_path):
    study = read_study(shutil.copytree(root, tmp_path / "RUNS"))
    error = {"mean": 0.2, "folds": {"0": 0.2}}
    choice = {"key": "val_loss", "rule": "lowest mean", "gamma": 35, "values": {"35": error}, "model": "unet_l1"}
    study.collection.choice.update(choice, methods={"unet_l1": {"mean": 0.1, "folds": {"0": 0.1}}})
    assert texts(study, "gamma_choice") == [
        "U-Net, L1 was chosen: lowest mean, of val_loss (U-Net, L1: 0.1). Of the paper's method gamma 35 had the "
        "lowest."
    ]
