"""A tiny phantom study and the settings of a run over it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bundle.data import fold_hash, write_folds
from bundle.networks import ResnetGenerator
from bundle.networks.weights import save_weights
from bundle.phantom import write_study


@pytest.fixture(scope="session")
def phantom(tmp_path_factory) -> Path:
    """Six women, 24 pairs, three folds; not to be changed."""
    folder = tmp_path_factory.mktemp("phantom") / "study"
    write_folds(write_study(folder, patients=6, image_size=64, num_workers=1), k=3)
    return folder


@pytest.fixture(scope="session")
def public(tmp_path_factory) -> Path:
    """Another study, for stage 1; not to be changed."""
    folder = tmp_path_factory.mktemp("public") / "study"
    write_folds(write_study(folder, patients=6, seed=1, image_size=64, num_workers=1), k=3)
    return folder


@pytest.fixture
def study(phantom, tmp_path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(phantom, tmp_path / "study"))


@pytest.fixture
def settings_of(tmp_path):
    """The root keys of a good run over a study, some of them replaced."""

    def settings(study, **changed):
        return {
            "dataset_dir": str(study),
            "datalist": str(study / "datalist.json"),
            "folds": str(study / "folds.json"),
            "fold": 0,
            "lesions": "all",
            "ckpt_dir": str(tmp_path / "models"),
            "output_dir": str(tmp_path / "eval"),
            "device": "cpu",
            "precision": "fp32",
            "image_size": 32,
            "batch_size": 8,
            "micro_batch_size": None,
            "num_workers": 0,
            "learning_rate": 1e-5,
            "weight_decay": 1e-5,
            "max_epochs": 200,
            "val_interval": 1,
            "patience": 50,
            "warmup_epochs": 50,
            "lambda_cycle": 10,
            "lambda_identity": 5,
            "gamma": 35,
            "pool_size": 0,
            "init_checkpoint": None,
            "resume": False,
            "least_inside": 0.9,
            **changed,
        }

    return settings


@pytest.fixture
def trained(phantom, tmp_path) -> Path:
    """A model with the card that a training on fold 0 of the study writes."""
    path = tmp_path / "models" / "model.pt"
    card = {
        "image_size": 32,
        "network": {"width": 4, "num_blocks": 1},
        "intensity": {"method": "window"},
        "fold": 0,
        **fold_hash(phantom / "datalist.json", phantom / "folds.json", 0),
    }
    save_weights(path, ResnetGenerator(width=4, num_blocks=1), card)
    return path


@pytest.fixture
def change_card(trained):
    def change(**entries):
        card = trained.with_suffix(".json")
        card.write_text(json.dumps({**json.loads(card.read_text()), **entries}))

    return change
