"""The runs of a study in the order in which they start."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .check_plan import config_of
from .contenders import Contender
from .plan import Run

__all__ = ["planned_runs"]

BASE = "configs/train.json"
# what a checkpoint is made of: contenders that agree on these share one stage 1
MADE_OF = (
    *("train::trainer::_target_", "train::networks", "network_def", "gen_des_to_le", "disc_des", "disc_le"),
    *("generator_optimizer", "discriminator_optimizer"),
)


def planned_runs(
    folder: Path,
    studies: Mapping[str, Path],
    contenders: Sequence[Contender],
    folds: Sequence[int],
    seeds: Sequence[int],
    overlays: Sequence[str],
    overrides: Mapping[str, Any],
    of_evaluation: Mapping[str, Any],
    root: Path,
) -> list[Run]:
    """Stage 1, then seed by seed and fold by fold each contender with its evaluation, to be compared early.

    Stage 1 is the plain CycleGAN, once for all contenders with its trainer and networks; any other contender has a
    stage 1 of its own. All seeds of a contender start from the same one.

    Args:
        folder: of the plan.
        studies: ``dataset_dir`` and, with a stage 1, ``pretrain_dir``.
        contenders: what is compared.
        folds, seeds: of stage 2; seed 0 alone is left to the config.
        overlays, overrides: of every run.
        of_evaluation: overrides of the evaluations.
        root: the repository.
    """
    runs: list[Run] = []
    stage_1: dict[str, str] = {}
    pretrain_dir = studies.get("pretrain_dir")
    if pretrain_dir is not None:
        stage_1 = _stages_1(contenders, overlays, overrides, root)
        for name in dict.fromkeys(stage_1.values()):
            of = next((each for each in contenders if name == f"pretrain/{each.name}"), Contender(name))
            given = {**overrides, **of.overrides, **_places(pretrain_dir, folder / name), "fold": 0, "gamma": 0}
            configs = [BASE, "configs/pretrain.json", *overlays, *of.overlays]
            runs.append(Run(name, "training", 1, 0, 0, [], configs, given, method=of.method))
    for seed in seeds:
        for fold in folds:
            for contender in contenders:
                seeded = f"{contender.name}/seed_{seed}" if seed else contender.name
                name = f"{seeded}/fold_{fold}"
                own = {**overrides, **contender.overrides, **_places(studies["dataset_dir"], folder / name)}
                own["fold"] = fold
                own |= {} if contender.gamma is None else {"gamma": contender.gamma}
                own |= {} if list(seeds) == [0] else {"seed": seed}
                about: dict[str, Any] = {"method": contender.method, "seed": seed}
                gamma, needs = contender.gamma or 0, []
                configs, of_training = [BASE, *overlays, *contender.overlays], dict(own)
                if pretrain_dir is not None:
                    needs = [stage_1[contender.name]]
                    of_training["init_checkpoint"] = str(folder / needs[0] / "models/checkpoint.pt")
                    configs.insert(1, "configs/finetune.json")
                runs.append(Run(name, "training", 2, gamma, fold, needs, configs, of_training, **about))
                configs = [BASE, *overlays, *contender.overlays, "configs/evaluate.json"]
                own |= of_evaluation
                runs.append(Run(f"{name}/eval", "evaluating", 2, gamma, fold, [name], configs, own, **about))
    return runs


def _places(study: Path, folder: Path) -> dict[str, str]:
    places = {"datalist": study / "datalist.json", "folds": study / "folds.json"}
    places |= {"ckpt_dir": folder / "models", "output_dir": folder / "eval"}
    return {"dataset_dir": str(study), **{name: str(path) for name, path in places.items()}}


def _stages_1(
    contenders: Sequence[Contender], overlays: Sequence[str], overrides: Mapping[str, Any], root: Path
) -> dict[str, str]:
    """The run of stage 1 that each contender starts from, by its name."""
    plain = _made_of(Contender("pretrain"), overlays, overrides, root)
    return {
        each.name: "pretrain"
        if each.method is None or _made_of(each, overlays, overrides, root) == plain
        else f"pretrain/{each.name}"
        for each in contenders
    }


def _made_of(contender: Contender, overlays: Sequence[str], overrides: Mapping[str, Any], root: Path) -> str:
    configs = [BASE, *overlays, *contender.overlays]
    run = Run(contender.name, "training", 1, 0, 0, [], configs, {**overrides, **contender.overrides})
    try:
        parser = config_of(run, root)
    except Exception:  # the check of the plan says what is wrong with it
        return contender.name
    return json.dumps([parser.get(key) for key in MADE_OF], sort_keys=True, default=str)
