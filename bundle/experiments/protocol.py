"""The paper's protocol as a plan: stage 1, stage 2 for each model, seed and fold, an evaluation of each test part."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.datalist import case_items, datalist_hash, read_datalist
from ..data.folds import read_folds
from ..keys import BatchKeys, CaseKeys
from .check_plan import plan_problems
from .contenders import Contender, gamma_contenders, method_contenders, relative_to
from .plan import Plan
from .runs import planned_runs
from .same_images import ListedImage, same_image_problems
from .start_checkpoints import start_checkpoints

__all__ = ["SET_BY_PROTOCOL", "build_plan"]

logger = logging.getLogger(__name__)
# root keys that the protocol itself sets -> the option to use
SET_BY_PROTOCOL = {
    "dataset_dir": "--dataset_dir",
    "datalist": "--dataset_dir",
    "folds": "--dataset_dir",
    "fold": "--folds",
    "gamma": "--gammas",
    "ckpt_dir": "--output",
    "output_dir": "--output",
    "ckpt_path": "--output",
    "init_checkpoint": "--pretrain_dir or --init_checkpoint",
    "resume": "the same call again",
    "part": "nothing: choices are made on validation data, results are of the test part",
}


def build_plan(
    folder: str | os.PathLike,
    dataset_dir: str | os.PathLike,
    pretrain_dir: str | os.PathLike | None = None,
    gammas: Sequence[float] = (0, 35, 100),
    folds: Sequence[int] | None = None,
    config_files: Sequence[str | os.PathLike] = (),
    overrides: Mapping[str, Any] | None = None,
    keep_images: bool = True,
    detectability: bool = False,
    root: str | os.PathLike = ".",
    here: bool = True,
    methods: Sequence[Any] = (),
    method_overrides: Mapping[str, Any] | None = None,
    seeds: Sequence[int] = (0,),
    init_checkpoint: str | None = None,
) -> Plan:
    """Plan the cross-validation of arXiv 2505.03018, after a check of all that it is given.

    Args:
        folder: for the plan and its runs.
        dataset_dir: of stage 2, with ``datalist.json`` and ``folds.json``.
        pretrain_dir: of stage 1, which is a training with gamma 0 on its fold 0; None starts stage 2 from scratch.
        gammas: weights of the masked losses; none where there are methods.
        folds: of stage 2; None takes all.
        config_files: overlays of ``configs/train.json``, laid over both stages.
        overrides: of the config, for every run.
        keep_images: keep the images of the test parts, for the report.
        detectability: add lesion Dice and a kernel distance to the evaluations, which take longer.
        root: the repository, from where the runs start.
        here: whether the runs are to be on this machine; else its devices do not matter.
        methods: overlays of other methods, laid over ``config_files``, so that they win: a method with a network of its
            own keeps its size. An entry may be a list of overlays that are laid one over the other.
        method_overrides: of the config, for the runs of a method, by its name.
        seeds: of stage 2. 0 alone leaves the seed to the config.
        init_checkpoint: what each training starts from instead of a stage 1: a path with ``{name}``, ``{fold}`` and
            ``{seed}``.

    Raises:
        ValueError: with every problem at once.
    """
    folder, root = Path(folder).resolve(), Path(root).resolve()
    problems: list[str] = []
    overrides = dict(overrides or {})
    of_stage = [("dataset_dir", Path(dataset_dir).resolve())]
    if pretrain_dir is not None:
        of_stage.append(("pretrain_dir", Path(pretrain_dir).resolve()))
    studies = {option: _study(path, problems) for option, path in of_stage}
    problems += _same_list_problems(studies) or same_image_problems(
        {option: study["images"] for option, study in reversed(studies.items()) if study}
    )
    k: int = studies["dataset_dir"].get("k", 0)
    problems += _choice_problems(gammas, folds, k, bool(methods)) + _seed_problems(seeds)
    of_method = dict(method_overrides or {})
    problems += _set_by_protocol(overrides, of_method, bool(methods), list(seeds) != [0])
    if pretrain_dir is not None and init_checkpoint is not None:
        problems.append("pretrain_dir and init_checkpoint are both given, expected one of them: a run has one start.")
    others = method_contenders(methods, of_method, root, problems)
    overlays = [relative_to(path, root) for path in config_files]
    overlays = [path for path in overlays if path != "configs/train.json"]  # the base of each run anyway
    configs = ["configs/train.json", "configs/pretrain.json", "configs/finetune.json", "configs/evaluate.json"]
    problems += [f"there is no config {path}." for path in [*configs, *overlays] if not (root / path).is_file()]
    plan = Plan(folder, {})
    if not problems:
        chosen = list(range(k)) if folds is None else list(folds)
        contenders: list[Contender] = [*gamma_contenders(gammas), *others]
        on_request = {"keep_images": keep_images, "detectability": detectability}
        of_evaluation = {name: True for name, wanted in on_request.items() if wanted}
        plan.runs = planned_runs(
            folder, dict(of_stage), contenders, chosen, seeds, overlays, overrides, of_evaluation, root
        )
        starts = {}
        if init_checkpoint is not None:
            trainings = [(run, run.name.split("/")[0]) for run in plan if run.run_id == "training"]
            starts = start_checkpoints(init_checkpoint, trainings, problems)
            for run, _ in trainings:
                run.config_files.insert(1, "configs/finetune.json")
        _count_pairs(plan, {1: studies.get("pretrain_dir", {}), 2: studies["dataset_dir"]})
        problems += plan_problems(plan, root, here)
    if problems:
        listed = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(problems, start=1))
        raise ValueError(f"the cross-validation cannot start, {len(problems)} problem(s):\n{listed}")
    plan.protocol = {
        "gammas": [contender.gamma for contender in contenders if contender.method is None],
        "folds": chosen,
        "overrides": overrides,
        "keep_images": keep_images,
        "config_files": {
            path: _sha256((root / path).read_bytes())
            for path in [*configs, *overlays, *(path for other in others for path in other.overlays)]
        },
        "stage_1": studies["pretrain_dir"]["hashes"] if pretrain_dir is not None else None,
        "stage_2": studies["dataset_dir"]["hashes"],
    }
    # what follows is left out where it is not asked for, so that plans from before can still be gone on with
    if detectability:
        plan.protocol["detectability"] = True
    if others:
        plan.protocol["methods"] = {
            other.name: {"overlays": list(other.overlays), "overrides": dict(other.overrides)} for other in others
        }
    if list(seeds) != [0]:
        plan.protocol["seeds"] = list(seeds)
    if init_checkpoint is not None:
        plan.protocol["init_checkpoint"] = {"path": init_checkpoint, "checkpoints": starts}
    return plan


def _study(path: Path, problems: list[str]) -> dict[str, Any]:
    """Hashes, k and images of a data set; what is wrong with its datalist or folds goes to ``problems``."""
    try:
        datalist = read_datalist(path / "datalist.json")
        folds = read_folds(path / "folds.json", datalist, path / "datalist.json")
    except (OSError, ValueError) as error:
        problems.append(str(error))
        return {}
    hashes = {
        "datalist": datalist["name"],
        "datalist_hash": datalist_hash(datalist),
        "folds_hash": _sha256(json.dumps(folds["folds"], sort_keys=True).encode()),
    }
    images = [
        ListedImage(Path(item[key]).resolve(), item[CaseKeys.PATIENT_ID], folds["folds"][item[CaseKeys.PATIENT_ID]])
        for item in case_items(datalist, path)
        for key in (BatchKeys.LE, BatchKeys.DES)
    ]
    return {"hashes": hashes, "k": folds["k"], "images": images}


def _same_list_problems(studies: Mapping[str, Mapping[str, Any]]) -> list[str]:
    first, second = studies.get("pretrain_dir", {}), studies["dataset_dir"]
    if not first or not second:
        return []
    if first["hashes"]["datalist_hash"] == second["hashes"]["datalist_hash"]:
        return [
            "--pretrain_dir is the list of --dataset_dir: patients that stage 1 trains on would stand in the test "
            "parts of stage 2. Pass another data set, or leave --pretrain_dir out."
        ]
    shared = len({image.patient for image in first["images"]} & {image.patient for image in second["images"]})
    if shared:
        logger.warning(
            f"{shared} patient id(s) stand in both lists, {first['hashes']['datalist']!r} and "
            f"{second['hashes']['datalist']!r}. Ids may coincide by chance; if these are the same women, stage 1 would "
            "train on test patients of stage 2: take them out of its list."
        )
    return []


def _count_pairs(plan: Plan, study_of_stage: Mapping[int, Mapping[str, Any]]) -> None:
    """Tell each run how many pairs it goes through, for an estimate of its time."""
    for run in plan:
        study = study_of_stage[run.stage]
        images = Counter(image.fold for image in study["images"])
        test, validation = (images[fold % study["k"]] // 2 for fold in (run.fold, run.fold + 1))
        training = len(study["images"]) // 2 - test - validation
        run.pairs = {"training": training}
        run.pairs |= {"validation": validation} if run.run_id == "training" else {"test": test}


def _set_by_protocol(
    overrides: Mapping[str, Any], of_method: Mapping[str, Any], with_methods: bool, with_seeds: bool
) -> list[str]:
    """Overrides that the plan itself has to make."""
    taken = SET_BY_PROTOCOL | ({"method": "--methods"} if with_methods else {})
    taken |= {"seed": "--seeds"} if with_seeds else {}
    problems = [
        f"overrides: {name} is set by the protocol. Use {instead}."
        for name, instead in taken.items()
        if name in overrides
    ]
    of_runs = {**SET_BY_PROTOCOL, "method": "its overlay", "seed": "--seeds"}
    del of_runs["gamma"]  # a method's own
    return problems + [
        f"method_overrides of {method}: {name} is set by the protocol. Use {instead}."
        for method, own in of_method.items()
        for name, instead in of_runs.items()
        if isinstance(own, Mapping) and name in own
    ]


def _seed_problems(seeds: Sequence[Any]) -> list[str]:
    whole = [seed for seed in seeds if type(seed) is int and 0 <= seed < 2**31]
    if seeds and len(whole) == len(seeds) and len(set(whole)) == len(whole):
        return []
    return [f"seeds is {list(seeds)}, expected different whole numbers of at least 0, such as 0,1,2."]


def _choice_problems(
    gammas: Sequence[Any], folds: Sequence[Any] | None, k: int, with_methods: bool = False
) -> list[str]:
    problems = []
    numbers = [gamma for gamma in gammas if isinstance(gamma, int | float) and not isinstance(gamma, bool)]
    if not gammas and with_methods:
        pass
    elif not gammas or len(numbers) < len(gammas) or min(numbers) < 0 or len(set(numbers)) < len(numbers):
        problems.append(f"gammas is {list(gammas)}, expected different numbers of at least 0, such as 0,35,100.")
    if folds is None:
        return problems
    whole = [fold for fold in folds if type(fold) is int and 0 <= fold < (k or fold + 1)]
    if not folds or len(whole) < len(folds) or len(set(whole)) < len(whole):
        bounds = f"different folds from 0 to {k - 1}" if k else "different whole numbers"
        problems.append(f"folds is {list(folds)}, expected {bounds}, or all.")
    return problems


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
