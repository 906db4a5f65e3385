"""A federation on one machine: each site is a ``MonaiAlgo`` with its own data, and only weights and metrics meet."""

from __future__ import annotations

import copy
import logging
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from monai.bundle import ConfigWorkflow
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject

from ...data.whole_files import write_table
from ...experiments.check_config import override_problems
from ...experiments.command_line import CommandLine, merged_config
from ...networks.weights import save_weights
from .average import average_weights
from .card import federated_card
from .exchanged import exchange_problems

__all__ = ["CONFIGS", "federate"]

logger = logging.getLogger(__name__)
CONFIGS = ("configs/train.json", "configs/federated.json")
KEY_METRIC = "val_loss"
AS_OPTION = re.compile(r"(?<!\S)--")  # overrides are options to the runner, here they are names
SET_HERE = {
    "dataset_dir": "each site has its own, the folder that was given for it",
    "ckpt_dir": "each site has its own, OUTPUT/SITE/models",
    "output_dir": "each site has its own, OUTPUT/SITE/local and OUTPUT/SITE/global",
    "max_epochs": "a round has local_epochs epochs",
}


def federate(
    sites: Mapping[str, str | os.PathLike],
    output_dir: str | os.PathLike,
    rounds: int,
    local_epochs: int = 1,
    config_files: Sequence[str] = CONFIGS,
    overrides: Mapping[str, Any] | None = None,
    bundle_root: str | os.PathLike = ".",
) -> pd.DataFrame:
    """Train one model at several sites by federated averaging, and validate it at each of them after every round.

    All sites start from the first one's networks. A round: each site trains ``local_epochs`` from the global weights of
    G, F, Dy and Dx; the four are averaged by numbers of training pairs; each site validates the average. Optimisers'
    moments stay at the sites from round to round.

    Args:
        sites: by name, the folder of its study with ``datalist.json`` and ``folds.json``.
        output_dir: receives ``model.pt`` with its card (of the round with the lowest mean ``val_loss``), ``rounds.csv``
            (a row a round and site), and by site ``<site>/models``, ``<site>/local`` (its training) and
            ``<site>/global`` (panels of the average).
        rounds: number of rounds, 1 or more.
        local_epochs: of each round, 1 or more.
        config_files: configs of every site, relative to ``bundle_root``; ``federated.json`` among them.
        overrides: of the config, for every site, by config id (``gamma``, ``network_def#width``).
        bundle_root: folder of the bundle.

    Returns:
        the table in ``rounds.csv``.

    Raises:
        ValueError: with everything that is wrong with the numbers, any site's data or its config, before anything
            is trained.
    """
    output_dir = Path(output_dir)
    files = [str(Path(bundle_root, file)) for file in config_files]
    problems = _problems(sites, output_dir, rounds, local_epochs) + _config_problems(files, overrides)
    places = {} if problems else {site: _places(site, folder, output_dir) for site, folder in sites.items()}
    for site, place in places.items():
        problems += [f"{site}: {line}" for line in _site_problems(files, {**(overrides or {}), **place})]
    if problems:
        raise ValueError("the federation cannot start:\n" + "\n".join(problems))
    algos = {
        site: _algo(site, list(config_files), {**(overrides or {}), **place}, local_epochs, bundle_root)
        for site, place in places.items()
    }
    workflows: dict[str, Any] = {site: algo.train_workflow for site, algo in algos.items()}
    cases = {site: len(workflow.train_dataset_data) for site, workflow in workflows.items()}
    cards = {site: workflow.parser.get_parsed_content("train#card") for site, workflow in workflows.items()}
    card = federated_card(cards, cases)
    trainer: Any = next(iter(algos.values())).trainer
    shared = {name: weight.detach().cpu().clone() for name, weight in trainer.network.state_dict().items()}
    best, rows = float("inf"), []
    for number in range(1, rounds + 1):
        updates = {}
        for site, algo in algos.items():
            algo.train(ExchangeObject(weights=shared))
            updates[site] = algo.get_weights().weights
        shared = average_weights(updates, cases)
        of_round = []
        for site, algo in algos.items():
            metrics = algo.evaluate(ExchangeObject(weights=shared)).metrics
            of_round.append({"round": number, "site": site, "cases": cases[site], **metrics})
        rows += of_round
        loss = sum(row[KEY_METRIC] * row["cases"] for row in of_round) / sum(cases.values())
        logger.info(f"round {number}/{rounds}: mean {KEY_METRIC} {loss:.4f}")
        if loss < best:
            best = loss
            about = {"rounds": rounds, "local_epochs": local_epochs, **card["federation"]}
            validation = {"round": number, "validation": {KEY_METRIC: loss}, "federation": about}
            save_weights(output_dir / "model.pt", _generator(trainer, shared), {**card, **validation})
        write_table(pd.DataFrame(rows), output_dir / "rounds.csv")
    for algo in algos.values():
        algo.finalize()
    return pd.DataFrame(rows)


def _problems(sites: Mapping[str, Any], output_dir: Path, rounds: int, local_epochs: int) -> list[str]:
    problems = [
        f"{name} is {value!r}, expected 1 or more."
        for name, value in (("rounds", rounds), ("local_epochs", local_epochs))
        if value < 1
    ]
    if len(sites) < 2:
        problems.append(f"there is {len(sites)} site, expected two or more.")
    if (output_dir / "model.pt").exists() or (output_dir / "rounds.csv").exists():
        problems.append(f"{output_dir} holds an earlier federation. Choose another output folder.")
    for site, study in sites.items():
        folder = output_dir / site
        if folder.resolve() == Path(study).resolve():
            problems.append(f"{folder} is the study of {site}, and would receive its models. Choose another output.")
        elif folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            problems.append(
                f"{folder} is not empty: a federation that was stopped cannot go on, and its curves and models would "
                "be mixed with the new ones. Choose another output folder, or move this one away."
            )
    return problems


def _config_problems(files: list[str], overrides: Mapping[str, Any] | None) -> list[str]:
    """Overrides that the configs do not have or that the federation sets, and methods that sites cannot share."""
    if overrides is not None and not isinstance(overrides, Mapping):
        return [f"overrides is {overrides!r}, expected a dictionary such as {{'gamma': 100}}."]
    given = {str(name): "$None" if value is None else value for name, value in (overrides or {}).items()}
    problems = [f"overrides: {name} cannot be set: {reason}." for name, reason in SET_HERE.items() if name in given]
    line = CommandLine(files, {name.replace("#", "::"): value for name, value in given.items() if name not in SET_HERE})
    problems += [f"overrides: {AS_OPTION.sub('', problem)}" for problem in override_problems(line)]
    config = None if problems else merged_config(line)
    return problems if config is None else exchange_problems(config)


def _places(site: str, folder: str | os.PathLike, output_dir: Path) -> dict[str, str]:
    place = (output_dir / site).resolve()
    return {
        "dataset_dir": str(Path(folder).resolve()),
        "ckpt_dir": str(place / "models"),
        "output_dir": str(place / "local"),
    }


def _site_problems(files: list[str], overrides: Mapping[str, Any]) -> list[str]:
    """What the check before a training says of a site's data and config."""
    workflow = ConfigWorkflow(config_file=files, logging_file=False, run_id="checking", **overrides)
    workflow.initialize()
    try:
        workflow.run()
    except RuntimeError as error:  # around the check's own
        if not isinstance(error.__cause__, ValueError):
            raise
        return str(error.__cause__).splitlines()
    return []


def _algo(
    site: str, files: list[str], overrides: dict[str, Any], local_epochs: int, bundle_root: str | os.PathLike
) -> MonaiAlgo:
    algo = MonaiAlgo(
        str(Path(bundle_root).resolve()),
        local_epochs=local_epochs,
        send_weight_diff=False,
        config_train_filename=files,
        train_kwargs=dict(overrides),
        config_evaluate_filename=files,
        eval_kwargs={**overrides, "output_dir": str(Path(overrides["output_dir"]).with_name("global"))},
    )
    with warnings.catch_warnings():  # MONAI warns of configs that a server has sent; these are the caller's own
        warnings.filterwarnings("ignore", message="executing the bundle config", category=UserWarning)
        algo.initialize({ExtraItems.CLIENT_NAME: site})
    return algo


def _generator(trainer: Any, weights: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """A generator LE -> DES with the given weights, beside the trainer's own."""
    generator = copy.deepcopy(trainer.networks["gen_le_to_des"])
    start = "gen_le_to_des."
    generator.load_state_dict({name.removeprefix(start): w for name, w in weights.items() if name.startswith(start)})
    return generator
