"""The paper's protocol in one command: ``python -m scripts.cross_validate --dataset_dir DIR --output RUNS``.

Stage 1 once, stage 2 for each gamma and fold, an evaluation of each test part, then tables and report. Calling it again
goes on where it stopped.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fire
from tqdm.auto import tqdm

from bundle.data.whole_files import write_json
from bundle.experiments.attempt import LOG_FILE, Workplace
from bundle.experiments.choice import CHOICE_FILE, choose_gamma
from bundle.experiments.estimate import as_time, seconds_left, seconds_per_epoch
from bundle.experiments.plan import PLAN_FILE, Plan, State, command_of
from bundle.experiments.plan_folder import take_up, working_on
from bundle.experiments.protocol import build_plan
from bundle.experiments.run_local import local_runs
from bundle.experiments.run_ray import ray_runs  # imports Ray when it is called
from bundle.experiments.schedule import Submit, carry_out

ROOT = Path(__file__).resolve().parents[1]
LAST_LINES = 12


@fire.decorators.SetParseFns(output=str, dataset_dir=str, pretrain_dir=str, device=str, backend=str, ray_address=str)
def cross_validate(
    dataset_dir: str,
    output: str,
    pretrain_dir: str | None = None,
    gammas: Any = (0, 35, 100),
    folds: Any = "all",
    config_file: Any = (),
    overrides: Any = None,
    device: str | None = None,
    num_workers: int | None = None,
    jobs: int = 1,
    retries: int = 1,
    keep_images: bool = True,
    detectability: bool = False,
    report: bool = True,
    dry_run: bool = False,
    seconds_per_epoch: float | None = None,
    overwrite: bool = False,
    backend: str = "local",
    cpus_per_run: int | None = None,
    gpus_per_run: float | None = None,
    ray_address: str | None = None,
) -> None:
    """Cross-validate, or go on with it: each run is a process of monai.bundle, and plan.json knows how far it is.

    Args:
        dataset_dir: data of stage 2, with datalist.json and folds.json.
        output: folder of the plan, the runs and the report.
        pretrain_dir: data of stage 1 (gamma 0, its fold 0); without it stage 2 starts from scratch.
        gammas: weights of the masked losses, such as 0,35,100.
        folds: all, or some such as 0,1,2.
        config_file: overlays of configs/train.json, such as configs/quickstart.json.
        overrides: of the config, for every run, such as "{'max_epochs': 20, 'network_def#width': 16}".
        device: cpu, cuda, cuda:N; null leaves it to the config.
        num_workers: loader processes of a run; null leaves it to the config.
        jobs: runs at once on this machine.
        retries: further attempts at a run that failed.
        keep_images: keep the images of the test parts, which the report shows.
        detectability: add lesion Dice of a small U-Net and a kernel distance to each evaluation, for the report.
        report: write tables and report in the end.
        dry_run: print the plan and an estimate of its time, and write nothing.
        seconds_per_epoch: for that estimate; null measures it on runs that are done.
        overwrite: where another plan is there, move it and its runs aside and start anew.
        backend: local, or ray for many GPUs or machines (needs the extra: pip install -e ".[ray]").
        cpus_per_run: threads of a run; null shares the cores of this machine among the jobs.
        gpus_per_run: that Ray reserves for a run; null asks for one where the cluster has any.
        ray_address: of a cluster; null starts Ray on this machine.
    """
    if backend not in ("local", "ray"):
        raise ValueError(f"backend is {backend!r}, expected local or ray.")
    for name, value, lowest in (("jobs", jobs, 1), ("retries", retries, 0)):
        if type(value) is not int or value < lowest:
            raise ValueError(f"{name} is {value!r}, expected a whole number of at least {lowest}.")
    flags = {"keep_images": keep_images, "detectability": detectability, "report": report}
    for name, value in (flags | {"dry_run": dry_run, "overwrite": overwrite}).items():
        if not isinstance(value, bool):  # fire takes "false" for a text, which counts as true
            raise ValueError(f"{name} is {value!r}, expected True or False.")
    if overrides is not None and not isinstance(overrides, dict):
        raise ValueError(f"overrides is {overrides!r}, expected a mapping. Write --overrides \"{{'max_epochs': 20}}\".")
    folder = Path(output).resolve()
    plan = build_plan(
        folder,
        dataset_dir,
        pretrain_dir,
        gammas=_as_list(gammas),
        folds=None if folds == "all" else _as_list(folds),
        config_files=_as_list(config_file),
        overrides=(overrides or {}) | ({} if device is None else {"device": device}),
        keep_images=keep_images,
        detectability=detectability,
        root=ROOT,
    )
    if dry_run:
        former = Plan.read(folder)
        if former is not None and not (different := plan.differences(former)):
            take_up(plan, former)
        elif former is not None:
            print("\n".join([f"{folder} holds another plan, which --overwrite would move aside:", *different, ""]))
        _print_plan(plan, seconds_per_epoch, jobs)
        return
    cpus = cpus_per_run or max(1, (os.cpu_count() or 1) // jobs)
    options = () if num_workers is None else (f"--num_workers={num_workers}",)
    if gpus_per_run is None and device == "cpu":
        gpus_per_run = 0
    workplace = Workplace(str(folder), str(ROOT), cpus=cpus, options=options)
    with working_on(plan, overwrite):
        with _started(backend, workplace, jobs, ray_address, cpus, gpus_per_run) as submit, _Bar(plan, jobs) as bar:
            carry_out(plan, submit, at_once=jobs if backend == "local" else None, retries=retries, changed=bar.show)
        whole = _finish(plan, report)
    if not whole:
        raise SystemExit(1)


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


@contextmanager
def _started(
    backend: str, workplace: Workplace, jobs: int, address: str | None, cpus: int, gpus: float | None
) -> Iterator[Submit]:
    if backend == "ray":
        with ray_runs(workplace, address=address, cpus=cpus, gpus=gpus) as submit:
            yield submit
    else:
        with local_runs(workplace, jobs=jobs) as submit:
            yield submit


class _Bar:
    """A progress bar over the runs, with those under way and the time left."""

    def __init__(self, plan: Plan, jobs: int) -> None:
        self.plan, self.jobs, self.last = plan, jobs, ""

    def __enter__(self) -> _Bar:
        form = "{n_fmt}/{total_fmt} runs |{bar}| {elapsed}{postfix}"
        self.bar = tqdm(total=len(self.plan.runs), bar_format=form, dynamic_ncols=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def show(self, plan: Plan) -> None:
        states = Counter(run.state for run in plan)
        under_way = [run.name for run in plan if run.state == State.RUNNING]
        left = seconds_left(plan, at_once=self.jobs)
        time_left = "time left unknown" if left is None else f"at most {as_time(left)} left"
        text = "; ".join([time_left, *under_way])
        self.bar.n = states[State.DONE]
        self.bar.set_postfix_str(text, refresh=text != self.last)
        self.last = text


def _print_plan(plan: Plan, per_epoch: float | None, jobs: int) -> None:
    width = max(len(run.name) for run in plan)
    print(f"{'run':{width}}  {'runs':10}  state    epochs  needs")
    for run in plan:
        epochs = "" if run.max_epochs is None else run.max_epochs
        print(f"{run.name:{width}}  {run.run_id:10}  {run.state:7}  {epochs!s:>6}  {', '.join(run.needs)}".rstrip())
    first = next((run for run in plan if run.state != State.DONE), plan.runs[0])
    print(f"\nthe next one: python -m monai.bundle {' '.join(map(_quoted, command_of(first)))}")
    measured = seconds_per_epoch(plan) if per_epoch is None else per_epoch
    told = "unknown" if measured is None else f"{measured:.1f} s"
    left = seconds_left(plan, per_epoch=measured, at_once=jobs)
    counts = Counter(run.run_id for run in plan if run.state != State.DONE)
    print(f"{counts['training']} training(s) and {counts['evaluating']} evaluation(s) left, {jobs} at once")
    print(f"an epoch takes: {told}; time left: {'unknown' if left is None else f'at most {as_time(left)}'}", end="")
    print("" if left is not None else " (pass --seconds_per_epoch, or wait for the first training)")


def _quoted(argument: str) -> str:
    """For a shell, lists of configs as the README writes them."""
    plain = "'" in argument and not set(argument) & set('"$`\\!')
    return f'"{argument}"' if plain else shlex.quote(argument)


def _finish(plan: Plan, report: bool) -> bool:
    """What stands at the end: the choice of gamma, the report, and all that failed; True where nothing did."""
    failed = [run for run in plan if run.state == State.FAILED]
    for run in failed:
        log = plan.folder / run.name / LOG_FILE
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
        print(f"{run.name} failed in {run.attempts} attempt(s): {run.reason}. The end of {log}:")
        print("\n".join(f"  {line}" for line in lines[-LAST_LINES:]))
    for name, cause in plan.blocked().items():
        print(f"{name} was not started: {cause} failed")
    print(
        f"{sum(run.state == State.DONE for run in plan)} of {len(plan.runs)} runs are done: {plan.folder / PLAN_FILE}"
    )
    if failed:
        print("The same call goes on from here.")
        return False
    choice = choose_gamma(plan.folder)
    write_json(plan.folder / CHOICE_FILE, choice)
    print(f"gamma chosen on validation data: {choice['gamma']} by {choice['key']} ({plan.folder / CHOICE_FILE})")
    return _report(plan.folder) if report else True


def _report(folder: Path) -> bool:
    try:
        from bundle.evaluation.report import write_report

        print(write_report(folder, overwrite=True))  # it is made of these runs alone
    except Exception as error:  # hours of runs must not look lost because a page could not be made
        print(f"the runs are whole, but the report could not be written ({type(error).__name__}: {error}).")
        print(f"Write it alone: python -m scripts.report {folder}")
        return False
    return True


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def main() -> None:
    """The command: stops its runs and says how to go on when it is told to end."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _end)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell started us in the background
    try:
        fire.Fire(cross_validate)
    except (ImportError, ValueError, OSError) as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        print("stopped; the same call goes on")
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
