"""The paper's protocol in one command: ``python -m scripts.cross_validate --dataset_dir DIR --output RUNS``.

Stage 1, stage 2 for each gamma or other method, seed and fold, an evaluation of each test part, then tables and report.
Calling it again goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from bundle.data.whole_files import write_json
from bundle.experiments.attempt import LOG_FILE, RESUME_CONFIG, Workplace
from bundle.experiments.check_plan import config_of
from bundle.experiments.choice import CHOICE_FILE, choose_model
from bundle.experiments.estimate import as_time, seconds_left, seconds_per_epoch, under_way
from bundle.experiments.measured_step import Measured
from bundle.experiments.plan import PLAN_FILE, Plan, Run, State, command_of
from bundle.experiments.plan_folder import take_up, working_on
from bundle.experiments.protocol import build_plan
from bundle.experiments.run_local import local_runs
from bundle.experiments.run_ray import ray_runs  # imports Ray when it is called
from bundle.experiments.schedule import Submit, carry_out
from bundle.experiments.trial import Pace, try_out

from .command_line import call

ROOT = Path(__file__).resolve().parents[1]
LAST_LINES = 12
TRIAL, SHORTEST = 12.0, 3.0  # seconds of all trials of a step, and of one at least


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
    measured: str | None = None,
    ray_address: str | None = None,
    methods: Any = (),
    method_overrides: Any = None,
    seeds: Any = 0,
    init_checkpoint: str | None = None,
) -> None:
    """Cross-validate, or go on with it: each run is a process of monai.bundle, and plan.json knows how far it is.

    Args:
        dataset_dir: data of stage 2, with datalist.json and folds.json.
        output: folder of the plan, the runs and the report.
        pretrain_dir: data of stage 1 (gamma 0, its fold 0); without it stage 2 starts from scratch.
        gammas: weights of the masked losses, such as 0,35,100; "[]" for none beside --methods.
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
        seconds_per_epoch: for that estimate; null takes that of runs that are done, or tries a step (some 15 s).
        overwrite: where another plan is there, move it and its runs aside and start anew.
        backend: local, or ray for many GPUs or machines (needs the extra: pip install -e ".[ray]").
        cpus_per_run: threads of a run; null shares the cores of a machine among its runs.
        gpus_per_run: part of a GPU that Ray reserves for a run, such as 0.25; null asks for one where there is any.
        measured: JSON of "python -m scripts.benchmark train" on such a GPU; as many runs as its memory holds share one.
        ray_address: of a cluster; null starts Ray on this machine.
        methods: overlays of other methods, a row of the tables each, such as "['configs/baselines/resnet_l1.json']";
            they are laid over those of --config_file. A list within the list is laid one over the other.
        method_overrides: for the runs of a method alone, such as "{'resnet_l1': {'max_epochs': 40}}".
        seeds: of the trainings of stage 2, such as 0,1,2; the tables then hold the mean over the seeds of each image.
        init_checkpoint: what trainings start from instead of a stage 1, a path with {name}, {fold} and {seed} as
            needed, such as "former/{name}/fold_{fold}/models/checkpoint.pt".
    """
    if backend not in ("local", "ray"):
        raise ValueError(f"backend is {backend!r}, expected local or ray.")
    lowest = {"jobs": (jobs, 1), "retries": (retries, 0), "num_workers": (num_workers, 0)}
    lowest |= {"cpus_per_run": (cpus_per_run, 1), "gpus_per_run": (gpus_per_run, 0)}
    for name, (value, least) in lowest.items():
        if value is not None and value < least:
            kind = "a number" if name == "gpus_per_run" else "a whole number"
            raise ValueError(f"{name} is {value!r}, expected {kind} of at least {least}.")
    if gpus_per_run is not None and gpus_per_run > 1:
        raise ValueError(
            f"gpus_per_run is {gpus_per_run!r}, expected at most 1: a run of the sweep uses one GPU; whole runs side "
            "by side lose nothing to an exchange of gradients (docs/explanation/scaling.md)."
        )
    if backend == "ray" and device is not None and device.partition(":")[2] not in ("", "0"):
        raise ValueError(
            f"device is {device!r}, expected cuda or cpu with --backend ray, where a run's own GPU is its cuda:0."
        )
    if seconds_per_epoch is not None and not 0 < seconds_per_epoch < float("inf"):
        raise ValueError(f"seconds_per_epoch is {seconds_per_epoch!r}, expected a number above 0.")
    examples = {"overrides": "{'max_epochs': 20}", "method_overrides": "{'resnet_l1': {'max_epochs': 20}}"}
    for name, given in (("overrides", overrides), ("method_overrides", method_overrides)):
        if given is not None and not isinstance(given, dict):
            raise ValueError(f'{name} is {given!r}, expected a mapping. Write --{name} "{examples[name]}".')
    folder = Path(output).resolve()
    plan = build_plan(
        folder,
        dataset_dir,
        pretrain_dir,
        gammas=[] if gammas in (None, "none") else _as_list(gammas),
        folds=None if folds == "all" else _as_list(folds),
        config_files=_as_list(config_file),
        overrides=(overrides or {}) | ({} if device is None else {"device": device}),
        keep_images=keep_images,
        detectability=detectability,
        root=ROOT,
        here=backend == "local",
        methods=_as_list(methods),
        method_overrides=method_overrides,
        seeds=_as_list(seeds),
        init_checkpoint=init_checkpoint,
    )
    cpus = cpus_per_run or max(1, (os.cpu_count() or 1) // jobs)
    peak = None if measured is None else _peak_bytes(measured, plan)
    if dry_run:
        former = Plan.read(folder)
        if former is not None and not (different := plan.differences(former)):
            take_up(plan, former)
        elif former is not None:
            print("\n".join([f"{folder} holds another plan, which --overwrite would move aside:", *different, ""]))
        _print_plan(plan, jobs)
        _print_time(plan, seconds_per_epoch, jobs, cpus)
        return
    options = () if num_workers is None else (f"--num_workers={num_workers}",)
    if gpus_per_run is None and device == "cpu":
        gpus_per_run = 0
    resume = hashlib.sha256((ROOT / RESUME_CONFIG).read_bytes()).hexdigest()
    configs = {**plan.protocol["config_files"], RESUME_CONFIG: resume}
    workplace = Workplace(str(folder), str(ROOT), cpus=cpus, options=options, configs=configs)
    with working_on(plan, overwrite):
        request = {"address": ray_address, "cpus": cpus_per_run, "gpus": gpus_per_run, "peak_bytes": peak}
        with _started(backend, workplace, jobs, request) as submit, _Bar(plan) as bar:
            carry_out(plan, submit, at_once=jobs if backend == "local" else None, retries=retries, changed=bar.show)
        well = _finish(plan, report)
    if not well:
        raise SystemExit(1)


def _peak_bytes(path: str, plan: Plan) -> float | None:
    """GPU memory of a training of the plan, as the benchmark measured it; None where it did not."""
    parser = config_of(next(run for run in plan if run.run_id == "training"), ROOT)
    keys = ("image_size", "batch_size", "precision", "micro_batch_size")
    image_size, batch_size, precision, micro = map(parser.get_parsed_content, keys)
    pairs = micro or batch_size
    peak = Measured.read(path).peak_bytes(image_size, pairs, precision)
    if peak is None:
        step = f"{pairs} pair(s) at {image_size} px in {precision}"
        print(f"{path} has no peak memory of a step of {step} on a GPU: one run a GPU")
    return peak


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


@contextmanager
def _started(backend: str, workplace: Workplace, jobs: int, request: dict[str, Any]) -> Iterator[Submit]:
    if backend == "ray":
        with ray_runs(workplace, per_machine=jobs, **request) as submit:
            yield submit
    else:
        with local_runs(workplace, jobs=jobs) as submit:
            yield submit


class _Bar:
    """A progress bar over the runs, with those under way and the time left."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.last = plan, ""

    def __enter__(self) -> _Bar:
        form = "{n_fmt}/{total_fmt} runs |{bar}| {elapsed}{postfix}"
        self.bar = tqdm(total=len(self.plan.runs), bar_format=form, dynamic_ncols=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def show(self, plan: Plan) -> None:
        states = Counter(run.state for run in plan)
        names = [run.name for run in under_way(plan)]
        left = seconds_left(plan, at_once=max(1, len(names)))
        time_left = "time left unknown" if left is None else f"at most {as_time(left)} left"
        text = "; ".join([time_left, *names])
        self.bar.n = states[State.DONE]
        self.bar.set_postfix_str(text, refresh=text != self.last)
        self.last = text


def _print_plan(plan: Plan, jobs: int) -> None:
    width = max(len(run.name) for run in plan)
    print(f"{'run':{width}}  {'runs':10}  state    epochs  needs")
    for run in plan:
        epochs = "" if run.max_epochs is None else run.max_epochs
        print(f"{run.name:{width}}  {run.run_id:10}  {run.state:7}  {epochs!s:>6}  {', '.join(run.needs)}".rstrip())
    first = next((run for run in plan if run.state != State.DONE), plan.runs[0])
    print(f"\nthe next one: python -m monai.bundle {' '.join(map(_quoted, command_of(first)))}")
    counts = Counter(run.run_id for run in plan if run.state != State.DONE)
    print(f"{counts['training']} training(s) and {counts['evaluating']} evaluation(s) left, {jobs} at once")


def _print_time(plan: Plan, per_epoch: float | None, jobs: int, cpus: int) -> None:
    trainings = {(run.stage, run.method): run for run in plan if run.run_id == "training"}
    told = {kind: seconds_per_epoch(plan, *kind) for kind in trainings}
    evaluated = any(run.run_id == "evaluating" and run.state == State.DONE for run in plan)
    measured_all = evaluated and all(seconds is not None for seconds in told.values())
    paces = _tried(plan, cpus) if per_epoch is None and not measured_all else {}
    for (stage, method), training in trainings.items():
        pace = paces.get(method)
        if per_epoch is not None:
            said = f"{per_epoch:.1f} s, as given"
        elif (measured := told[stage, method]) is not None:
            said = f"{measured:.1f} s, as the runs took that are done"
        else:
            said = "unknown" if pace is None else f"about {pace.epoch(training):.1f} s, an estimate"
        print(f"an epoch of stage {stage}{f' of {method}' if method else ''} takes: {said}")
    foreseen = {run.name: paces[run.method].seconds(run) for run in plan if run.method in paces}
    left = seconds_left(plan, per_epoch, foreseen, at_once=jobs)
    for source in dict.fromkeys(pace.source for pace in paces.values()):
        print(f"the estimate is from {source}, at the present load of this machine; starts are not counted")
    print(f"time left: {'unknown' if left is None else f'at most about {as_time(left)}'}")


def _tried(plan: Plan, cpus: int) -> dict[str | None, Pace]:
    """By method, None for the paper's."""
    firsts: dict[str | None, dict[str, Run]] = {}
    for run in plan:
        firsts.setdefault(run.method, {}).setdefault(run.run_id, run)
    # a stage 1 that only other methods start from is not evaluated: what it is timed beside does not count
    other = next(run for run in plan if run.run_id == "evaluating")
    pairs = {method: (own["training"], own.get("evaluating", other)) for method, own in firsts.items()}
    try:
        # as the processes of runs take it
        threads = None if "OMP_NUM_THREADS" in os.environ else cpus
        seconds = max(SHORTEST, TRIAL / len(pairs))
        return {
            method: try_out(*of_method, ROOT, threads=threads, seconds=seconds) for method, of_method in pairs.items()
        }
    except (RuntimeError, OSError, ValueError) as error:
        cause = error.__cause__ or error
        print(f"a step could not be tried here ({type(cause).__name__}: {cause}). Pass --seconds_per_epoch for a time.")
        return {}


def _quoted(argument: str) -> str:
    """For a shell, lists of configs as the README writes them."""
    plain = "'" in argument and not set(argument) & set('"$`\\!')
    return f'"{argument}"' if plain else shlex.quote(argument)


def _finish(plan: Plan, report: bool) -> bool:
    """What stands at the end: the choice of a model, the report, and all that failed; True where nothing did."""
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
    choice = choose_model(plan.folder)
    write_json(plan.folder / CHOICE_FILE, choice)
    what = "gamma" if "model" not in choice else "model"
    print(f"{what} chosen on validation data: {choice[what]} by {choice['key']} ({plan.folder / CHOICE_FILE})")
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
        call(cross_validate)
    except (ImportError, ValueError, OSError) as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        print("stopped; the same call goes on")
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
