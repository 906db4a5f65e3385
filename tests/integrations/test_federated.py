"""Federated averaging, the engines as MonaiAlgo takes them, and a federation of two phantom sites on one machine."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from pathlib import Path

import pandas as pd
import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, WeightType
from monai.fl.utils.exchange_object import ExchangeObject
from toys import make_batch, make_networks, make_optimizers

from bundle.data import write_folds
from bundle.experiments.command_line import CommandLine
from bundle.integrations.federated import FederatedEvaluator, FederatedTrainer, average_weights, check_exchange
from bundle.integrations.federated.card import federated_card
from bundle.integrations.federated.federation import federate
from bundle.losses import CycleGanLoss
from bundle.phantom import write_study
from scripts.federate import federate as command

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "tests/workflows/tiny.json")
FILES = ["configs/train.json", TINY, "configs/federated.json"]
NO_PANELS = {"validate#handlers#2#_disabled_": True}  # they take longer than the training


class TestAverage:
    def test_by_hand(self):
        weights = {"a": {"w": torch.tensor([1.0, 2.0])}, "b": {"w": torch.tensor([5.0, -2.0])}}
        assert average_weights(weights, {"a": 3, "b": 1})["w"].tolist() == [2.0, 1.0]

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
    def test_sites_that_agree_give_what_they_agree_on(self, dtype):
        same = torch.randn(1000, generator=torch.Generator().manual_seed(0)).to(dtype) / 3
        averaged = average_weights({site: {"w": same.clone()} for site in "abc"}, {"a": 1, "b": 5, "c": 7})["w"]
        assert averaged.dtype == dtype
        assert torch.equal(averaged, same)

    def test_the_order_of_sites_does_not_matter(self, float64):
        weights = {site: make_networks(seed)["gen_le_to_des"].state_dict() for seed, site in enumerate("abc")}
        cases = {"a": 3, "b": 80, "c": 17}
        one, other = average_weights(weights, cases), average_weights(dict(reversed(weights.items())), cases)
        for name in one:
            torch.testing.assert_close(one[name], other[name], rtol=1e-13, atol=1e-15)

    def test_a_mean_of_differences_is_the_difference_of_the_mean(self, float64):
        start, *sites = (make_networks(seed)["disc_le"].state_dict() for seed in range(3))
        cases = {"a": 2, "b": 5}
        full = average_weights(dict(zip("ab", sites, strict=True)), cases)
        moved = [{name: site[name] - start[name] for name in site} for site in sites]
        parts = average_weights(dict(zip("ab", moved, strict=True)), cases)
        for name, value in full.items():
            torch.testing.assert_close(start[name] + parts[name], value, rtol=1e-12, atol=1e-14)

    def test_nothing_is_shared_with_a_site(self):
        given = {"w": torch.ones(2)}
        average_weights({"a": given}, {"a": 1})["w"].zero_()
        assert given["w"].tolist() == [1, 1]

    def test_every_problem_at_once(self):
        weights = {
            "a": {"w": torch.ones(2), "b": torch.ones(3)},
            "b": {"w": torch.ones(3), "c": torch.ones(1), "n": torch.tensor(3)},
            "c": {"w": torch.tensor([1.0, float("nan")]), "b": torch.ones(3)},
        }
        with pytest.raises(ValueError, match=r"cannot be averaged, 8 problem\(s\)") as caught:
            average_weights(weights, {"a": 0, "b": 2, "d": 1})
        for text in (
            "a has 0 cases, expected a whole number of 1 or more.",
            "c has no number of cases.",
            "d has cases, but no weights.",
            "b lacks 1 of a's tensors (b, ...). Build the same networks.",
            "b adds 2 of a's tensors (c, ...).",
            "b: w is (3,), at a (2,).",
            "b: n is torch.int64, which has no mean. Take norm INSTANCE, not BATCH.",
            "c: w holds NaN or infinity.",
        ):
            assert text in str(caught.value)
        with pytest.raises(ValueError, match="there is no site"):
            average_weights({}, {})


class TestEngines:
    def test_network_is_the_four_networks(self):
        networks = make_networks()
        trainer = FederatedTrainer(
            device="cpu",
            max_epochs=1,
            train_data_loader=[make_batch()],
            **networks,
            **make_optimizers(networks),
            objective=CycleGanLoss(),
        )
        assert set(trainer.network) == {"gen_le_to_des", "gen_des_to_le", "disc_des", "disc_le"}
        assert trainer.network["disc_le"] is networks["disc_le"]
        evaluator = FederatedEvaluator("cpu", [make_batch()], **networks, objective=CycleGanLoss())
        assert evaluator.network.state_dict().keys() == trainer.network.state_dict().keys()
        assert set(FederatedEvaluator("cpu", [], networks["gen_le_to_des"]).network) == {"gen_le_to_des"}


CARD = {"image_size": 32, "gamma": 35, "network": {"width": 4}, "fold": 0}


class TestCard:
    def test_by_hand(self):
        cards = {
            "a": CARD | {"data_hash": "x", "datalist": "A", "des_window_median": [10.0, 4.0], "seen": {"mean": [1, 2]}},
            "b": CARD | {"data_hash": "y", "datalist": "B", "des_window_median": [20.0, 8.0], "seen": {"mean": [0, 1]}},
            "c": CARD | {"data_hash": "z", "datalist": "C", "des_window_median": None, "fold": 1},
        }
        card = federated_card(cards, {"a": 3, "b": 1, "c": 9})
        assert card["image_size"] == 32
        assert "fold" not in card
        assert card["des_window_median"] == [12.5, 5.0]
        assert card["seen"] == {"mean": [0, 2]}
        assert card["datalist"] == "a: A; b: B; c: C"
        sites = card["federation"]["sites"]
        assert [(s["site"], s["cases"], s["data_hash"], s["fold"]) for s in sites] == [
            ("a", 3, "x", 0),
            ("b", 1, "y", 0),
            ("c", 9, "z", 1),
        ]
        assert card["data_hash"] == federated_card(dict(reversed(cards.items())), {"a": 3, "b": 1, "c": 9})["data_hash"]

    def test_what_must_be_one_for_all(self):
        with pytest.raises(ValueError, match=r"cannot train one model, 2 difference") as caught:
            federated_card({"a": CARD, "b": CARD | {"gamma": 0, "image_size": 64}}, {"a": 1, "b": 1})
        assert "image_size is 64 at b, but 32 at a" in str(caught.value)
        assert "gamma is 0 at b, but 35 at a" in str(caught.value)
        with pytest.raises(ValueError, match=r"method is 'paired' at b, but None at a"):
            federated_card({"a": CARD, "b": CARD | {"method": "paired"}}, {"a": 1, "b": 1})


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    """Two hospitals: other women, other numbers of pairs."""
    folder = tmp_path_factory.mktemp("sites")
    for number, (name, patients) in enumerate({"north": 6, "south": 9}.items()):
        study = write_study(folder / name, patients=patients, image_size=64, num_workers=1, seed=number)
        write_folds(study, k=3)
    return {name: folder / name for name in ("north", "south")}


def algo_of(name, study, folder, send_weight_diff=False, **overrides):
    overrides |= NO_PANELS | {"dataset_dir": str(study), "ckpt_dir": str(folder / name / "models")}
    algo = MonaiAlgo(
        str(ROOT),
        send_weight_diff=send_weight_diff,
        config_train_filename=FILES,
        train_kwargs={**overrides, "output_dir": str(folder / name / "local")},
        config_evaluate_filename=FILES,
        eval_kwargs={**overrides, "output_dir": str(folder / name / "global")},
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="executing the bundle config")
        algo.initialize({ExtraItems.CLIENT_NAME: name})
    return algo


def start_of(algo):
    return {name: weight.clone() for name, weight in algo.trainer.network.state_dict().items()}


class TestMonaiAlgo:
    """MONAI's own client, called as a federation's system calls it."""

    def test_one_round(self, sites, tmp_path):
        algos = {name: algo_of(name, study, tmp_path) for name, study in sites.items()}
        cases = {name: len(algo.train_workflow.train_dataset_data) for name, algo in algos.items()}
        assert len(set(cases.values())) == 2
        start, updates = start_of(algos["north"]), {}
        for name, algo in algos.items():
            algo.train(ExchangeObject(weights=start))
            update = algo.get_weights()
            assert update.weight_type == WeightType.WEIGHTS
            assert update.optim is None  # the moments stay at home
            updates[name] = {key: weight.clone() for key, weight in update.weights.items()}
            moved = {key.split(".")[0] for key, weight in start.items() if not torch.equal(weight, update.weights[key])}
            assert moved == {"gen_le_to_des", "gen_des_to_le", "disc_des", "disc_le"}
        shared = average_weights(updates, cases)
        before = {name: algo.trainer.state.epoch for name, algo in algos.items()}
        for algo in algos.values():
            metrics = algo.evaluate(ExchangeObject(weights=shared)).metrics
            assert 0 < metrics["val_loss"] < 1
            for name, network in algo.evaluator.network.items():
                for key, weight in network.state_dict().items():
                    assert torch.equal(weight, shared[f"{name}.{key}"])
            algo.train(ExchangeObject(weights=shared))  # the next round goes on, with the site's own moments
        assert before == {"north": 1, "south": 1}
        assert {algo.trainer.state.epoch for algo in algos.values()} == {2}
        steps = [algo.trainer.generator_optimizer.state_dict()["state"][0]["step"].item() for algo in algos.values()]
        assert steps == [algo.trainer.state.iteration for algo in algos.values()]

    def test_two_sites_of_one_data_and_seed_are_one_site(self, sites, tmp_path):
        start, updates = None, {}
        for name in ("one", "twin", "diff"):
            algo = algo_of(name, sites["north"], tmp_path, send_weight_diff=name == "diff")
            start = start or start_of(algo)
            algo.train(ExchangeObject(weights=start))
            updates[name] = algo.get_weights().weights
        difference = updates.pop("diff")
        shared = average_weights(updates, {"one": 4, "twin": 9})
        for key, weight in updates["one"].items():
            assert torch.equal(shared[key], weight)
            torch.testing.assert_close(start[key] + difference[key], weight, rtol=1e-6, atol=1e-7)


@pytest.fixture(scope="module")
def made(sites, tmp_path_factory):
    """The output folder of a federation by the command, and what it printed."""
    output, printed = tmp_path_factory.mktemp("federation") / "out", io.StringIO()
    with contextlib.redirect_stdout(printed):
        command(
            *map(str, sites.values()),
            output=str(output),
            rounds=2,
            config_file=TINY,
            overrides=NO_PANELS | {"gamma": 20},
        )
    return output, printed.getvalue()


class TestFederation:
    def test_rounds_and_card(self, made):
        output, printed = made
        table = pd.read_csv(output / "rounds.csv")
        assert table[["round", "site"]].to_numpy().tolist() == [[1, "north"], [1, "south"], [2, "north"], [2, "south"]]
        means = (table["val_loss"] * table["cases"]).groupby(table["round"]).sum() / table["cases"].iloc[:2].sum()
        card = json.loads((output / "model.json").read_text())
        assert card["validation"]["val_loss"] == pytest.approx(means.min())
        assert card["round"] == means.idxmin()
        assert card["gamma"] == 20
        assert card["federation"]["rounds"] == 2
        for site in card["federation"]["sites"]:
            local = json.loads((output / site["site"] / "models/model.json").read_text())
            assert local["data_hash"] == site["data_hash"]
        assert len({site["data_hash"] for site in card["federation"]["sites"]}) == 2
        assert "val_background_l1" in printed
        assert "model.pt: the round with the lowest mean val_loss" in printed

    def test_the_model_translates(self, made, sites, tmp_path):
        workflow = ConfigWorkflow(
            config_file=str(ROOT / "configs/inference.json"),
            logging_file=False,
            workflow_type="infer",
            dataset_dir=str(sites["north"]),
            output_dir=str(tmp_path),
            ckpt_path=str(made[0] / "model.pt"),
            num_workers=0,
        )
        workflow.initialize()
        workflow.run()
        assert pd.read_csv(tmp_path / "results.csv")["state"].eq("made").all()

    def test_everything_that_is_wrong_is_said_before_anything_is_trained(self, sites, made, tmp_path):
        with pytest.raises(ValueError, match="the federation cannot start") as caught:
            federate({"north": sites["north"]}, made[0], rounds=0)
        for text in ("rounds is 0, expected 1 or more", "there is 1 site", "holds an earlier federation"):
            assert text in str(caught.value)
        broken = {"north": sites["north"], "nowhere": tmp_path / "nowhere"}
        with pytest.raises(ValueError, match="the federation cannot start") as caught:
            federate(
                broken, tmp_path / "out", rounds=1, config_files=FILES, overrides={"batch_size": 0}, bundle_root=ROOT
            )
        assert "north:   1. batch_size is 0" in str(caught.value)
        assert "nowhere: " in str(caught.value)
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("overlays", "said"),
        [
            (["baselines/resnet_l1"], ["method resnet_l1 trains one generator"]),
            (["baselines/pix2pix"], ["method pix2pix trains one generator", "method pix2pix has pair_discriminator,"]),
            (["ablation/averaged"], ["method averaged has averaged_generator, which each site would keep to itself"]),
            (["ablation/gamma_by_dual"], ["method gamma_by_dual has adaptive_gamma,"]),
            (["ablation/lesion_discriminator_crops"], ["method lesion_discriminator_crops has lesion_crops,"]),
        ],
    )
    def test_what_would_not_be_exchanged_is_refused(self, overlays, said, sites, tmp_path):
        overlays = [str(ROOT / f"configs/{name}.json") for name in overlays]
        with pytest.raises(ValueError, match="the federation cannot start") as caught:
            command(*map(str, sites.values()), output=str(tmp_path / "out"), config_file=[TINY, *overlays])
        lines = str(caught.value).splitlines()[1:]
        assert [line[: len(text)] for line, text in zip(lines, said, strict=True)] == said
        assert not (tmp_path / "out").exists()
        files = [str(ROOT / "configs/train.json"), *overlays, str(ROOT / "configs/federated.json")]
        with pytest.raises(SystemExit, match=r"the federation cannot start, \d problem\(s\):\n  1\. method"):
            check_exchange(CommandLine(files))

    def test_what_all_sites_share_may_be_another_method(self):
        check_exchange(None)
        for name in ("paired", "structural", "gamma_by_area", "lesion_discriminator_weight"):
            overlays = (f"configs/{each}.json" for each in ("train", f"ablation/{name}", "federated"))
            check_exchange(CommandLine([str(ROOT / path) for path in overlays]))

    def test_overrides_are_checked(self, sites, tmp_path):
        wrong = {"gama": 3, "network_def#widht": 4, "fold": "one", "ckpt_dir": "x", "dataset_dir": "y", "max_epochs": 2}
        with pytest.raises(ValueError, match="the federation cannot start") as caught:
            command(*map(str, sites.values()), output=str(tmp_path / "out"), config_file=TINY, overrides=wrong)
        assert str(caught.value).splitlines()[1:] == [
            "overrides: dataset_dir cannot be set: each site has its own, the folder that was given for it.",
            "overrides: ckpt_dir cannot be set: each site has its own, OUTPUT/SITE/models.",
            "overrides: max_epochs cannot be set: a round has local_epochs epochs.",
            "overrides: gama: the config has no such key. Did you mean gamma?",
            "overrides: network_def#widht: the config has no such key. Did you mean network_def#width?",
            "overrides: fold one: expected a number, like the config's 0.",
        ]
        with pytest.raises(ValueError, match="overrides is 'gamma=3', expected a dictionary such as"):
            command(*map(str, sites.values()), output=str(tmp_path / "out"), config_file=TINY, overrides="gamma=3")
        assert not (tmp_path / "out").exists()

    def test_a_folder_that_is_not_empty_is_refused(self, sites, tmp_path):
        left = tmp_path / "north/models/checkpoint.pt"
        left.parent.mkdir(parents=True)
        left.write_text("of a federation that was killed")
        (tmp_path / "south").mkdir()
        with pytest.raises(ValueError, match="the federation cannot start") as caught:
            federate(sites, tmp_path, rounds=1, config_files=FILES, bundle_root=ROOT)
        (problem,) = str(caught.value).splitlines()[1:]
        assert problem.startswith(f"{tmp_path / 'north'} is not empty: a federation that was stopped cannot go on")
        assert problem.endswith("Choose another output folder, or move this one away.")
        assert left.read_text() == "of a federation that was killed"
        with pytest.raises(ValueError, match=r"north is the study of north.*\n.*south is the study of south"):
            federate(sites, sites["north"].parent, rounds=1, config_files=FILES, bundle_root=ROOT)
