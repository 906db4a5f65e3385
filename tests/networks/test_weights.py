"""model.pt and its card: what is written, what is refused, and that a crash leaves the former file."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
from toys import make_networks

from bundle.networks.weights import (
    DEFAULT_CARD,
    card_path,
    card_problems,
    load_weights,
    read_card,
    save_bytes,
    save_weights,
)

CARD = {"image_size": 32, "network": {"width": 4, "num_blocks": 2}, "intensity": {"method": "window"}}


@pytest.fixture
def network():
    return make_networks()["gen_le_to_des"]


@pytest.fixture
def model(tmp_path, network):
    save_weights(tmp_path / "model.pt", network, CARD)
    return tmp_path / "model.pt"


def edit_card(model, **entries):
    card = {**json.loads(card_path(model).read_text()), **entries}
    card_path(model).write_text(json.dumps({key: value for key, value in card.items() if value is not None}))


def test_a_model_is_a_plain_state_dict_with_its_hash_in_the_card(model, network):
    state = torch.load(model, weights_only=True)
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
    card = json.loads((model.parent / "model.json").read_text())
    assert card == {"sha256": hashlib.sha256(model.read_bytes()).hexdigest(), **CARD}
    assert next(iter(card)) == "sha256"
    assert sorted(file.name for file in model.parent.iterdir()) == ["model.json", "model.pt"]


def test_what_is_returned_is_the_card_as_written(tmp_path, network):
    written = save_weights(tmp_path / "new" / "model.pt", network, CARD)
    assert written == read_card(tmp_path / "new" / "model.pt")


def test_the_card_of_another_model_does_not_bring_its_hash(tmp_path, model):
    other = make_networks(seed=1)["gen_le_to_des"]
    save_weights(tmp_path / "other.pt", other, read_card(model))
    assert card_problems(tmp_path / "other.pt") == []
    assert read_card(tmp_path / "other.pt")["sha256"] != read_card(model)["sha256"]


def test_a_model_comes_back_as_it_was_saved(model, network):
    other = make_networks(seed=1)["gen_le_to_des"]
    x = torch.rand((1, 1, 32, 32))
    assert not torch.equal(other(x), network(x))
    assert load_weights(model, other) is other
    assert torch.equal(other(x), network(x))


def test_without_a_card_the_papers_own_values_are_assumed_but_not_trusted(tmp_path):
    card = read_card(tmp_path / "model.pt")
    assert card == DEFAULT_CARD
    card["network"]["width"] = 1
    assert read_card(tmp_path / "model.pt")["network"]["width"] == 64  # a copy
    assert card_problems(tmp_path / "model.pt")


def test_no_model(tmp_path, network):
    (problem,) = card_problems(tmp_path / "model.pt")
    assert problem == (
        f"there is no model {tmp_path / 'model.pt'}. Train one (python -m monai.bundle run training ...) or pass "
        "--ckpt_path."
    )
    with pytest.raises(ValueError, match="there is no model"):
        load_weights(tmp_path / "model.pt", network)


def test_a_model_without_its_card(model):
    card_path(model).unlink()
    assert card_problems(model) == [
        f"{model} has no card {model.with_suffix('.json')}: copy both files that the training wrote."
    ]


def test_a_card_that_lacks_entries(model):
    edit_card(model, network=None, intensity=None)
    assert card_problems(model) == [
        f"{card_path(model)} lacks network, intensity: copy the card that the training wrote."
    ]


@pytest.mark.parametrize(
    ("text", "said"), [("{half a", "is no JSON"), ("[1, 2]", "is no model's card"), ("", "is no JSON")]
)
def test_a_card_that_is_none(model, network, text, said):
    card_path(model).write_text(text)
    (problem,) = card_problems(model)
    assert problem.startswith(f"{card_path(model)} {said}")
    assert problem.endswith("copy the card that the training wrote.")
    with pytest.raises(ValueError, match=said):
        read_card(model)
    with pytest.raises(ValueError, match=said):
        load_weights(model, network)


def test_a_card_of_other_weights(model, network):
    former = read_card(model)["sha256"]
    own_card = card_path(model).read_bytes()
    save_weights(model, make_networks(seed=1)["gen_le_to_des"], CARD)
    found = read_card(model)["sha256"]
    card_path(model).write_bytes(own_card)
    (problem,) = card_problems(model)
    assert problem == (
        f"{card_path(model)} belongs to other weights: it says sha256 {former[:12]}..., {model} has {found[:12]}.... "
        "Copy both files that the training wrote."
    )
    with pytest.raises(ValueError, match="belongs to other weights"):
        load_weights(model, network)


def test_another_network(model):
    with pytest.raises(ValueError, match=r"does not fit the network: its card says \{'width': 4, 'num_blocks': 2\}"):
        load_weights(model, make_networks(width=8)["gen_le_to_des"])


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "file"
    save_bytes(path, b"first")
    replaced = []

    def replace(source, target):
        replaced.append((os.path.basename(source), os.fspath(target), Path(source).read_bytes(), path.read_bytes()))
        raise OSError("the machine stops here")

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="stops here"):
        save_bytes(path, b"second")
    assert replaced == [(f".file.{os.getpid()}.tmp", str(path), b"second", b"first")]
    assert path.read_bytes() == b"first"
    monkeypatch.undo()
    save_bytes(path, b"third")
    assert path.read_bytes() == b"third"
    assert [file.name for file in path.parent.iterdir()] == ["file"]  # the leftover is used up


def test_a_file_is_on_the_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (order.append("fsync"), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda *names: (order.append("replace"), replace(*names)))
    save_bytes(tmp_path / "file", b"content")
    assert order == ["fsync", "replace"]
