"""Runs of a plan on many GPUs or machines: each is a task of Ray with its share of CPUs and of a GPU."""

from __future__ import annotations

import logging
import math
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from .attempt import Outcome, Workplace, attempt
from .plan import Run
from .schedule import Submit

__all__ = ["ray_runs", "runs_on_one_gpu", "runs_that_fit"]

logger = logging.getLogger(__name__)
INSTALL = 'pip install -c constraints.txt -e ".[ray]"'
STEP = 10_000  # Ray counts ten-thousandths of a GPU or of a CPU


@contextmanager
def ray_runs(
    workplace: Workplace,
    address: str | None = None,
    cpus: float | None = None,
    gpus: float | None = None,
    peak_bytes: float | None = None,
    per_machine: int = 1,
    lost_workers: int = 3,
) -> Iterator[Submit]:
    """Hands each run to Ray; a run whose worker is lost starts again elsewhere, from its checkpoint.

    All machines must see the repository and the plan's folder under the same path. Ray gives each run its GPU by
    ``CUDA_VISIBLE_DEVICES``, so that it is ``cuda:0`` to the run; runs that ask for half of one share it two by two.

    Args:
        workplace: where and how the processes run; its ``cpus`` become those of a run.
        address: of a cluster (``auto``, ``ray://host:port``); None starts Ray on this machine.
        cpus: that a run asks for; None shares those of a machine among the runs that its GPUs hold.
        gpus: that a run asks for, at most 1; None asks for one where the cluster has any, or for the part of it that
            ``peak_bytes`` says.
        peak_bytes: of GPU memory that a training takes, where it was measured on a GPU; as many runs share a GPU as
            the smallest of the cluster holds.
        per_machine: runs on a machine of a cluster without GPUs.
        lost_workers: how often a run may lose its worker before that counts as a failure.

    Raises:
        ImportError: when Ray is not installed, with the command that installs it.
        ValueError: when no machine of the cluster has what a run asks for.
    """
    try:
        import ray
    except ImportError as error:
        raise ImportError(f"--backend ray needs Ray, which is not installed ({error}). Install it: {INSTALL}") from None
    environment = {"env_vars": {"PYTHONPATH": workplace.root}}
    ray.init(
        address=address,
        runtime_env=environment,
        include_dashboard=None if address else False,
        logging_level=logging.WARNING,
        log_to_driver=False,
    )
    try:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        if gpus is None:
            memory = None if peak_bytes is None else _smallest_gpu(ray, nodes)
            gpus = _a_share(nodes, peak_bytes, memory)
        cpus = _cpus_of_a_run(nodes, gpus, per_machine) if cpus is None else cpus
        _raise_if_too_much(nodes, cpus, gpus)
        own = replace(workplace, cpus=max(1, math.floor(cpus)))
        task: Any = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=lost_workers)(attempt)
        references: dict[Future[Outcome], Any] = {}

        def submit(run: Run) -> Future[Outcome]:
            reference = task.remote(replace(run), own)
            future: Future[Outcome] = reference.future()
            references[future] = reference
            return future

        try:
            yield submit
        finally:
            _cancel(ray, [reference for future, reference in references.items() if not future.done()], workplace)
    finally:
        ray.shutdown()


def runs_that_fit(
    peak_bytes: float, gpu_bytes: float, slack: float = 1.25, context: float = 2**30, most: int = 4
) -> int:
    """How many trainings one GPU holds, at least 1.

    Args:
        peak_bytes: that the tensors of a training take at their most.
        gpu_bytes: memory of the GPU.
        slack: over the peak, for validation, for what the allocator keeps and for what CUDA's libraries work in.
        context: bytes that every process takes on a GPU before its first tensor.
        most: a few runs keep a GPU busy; more would only wait for each other.
    """
    return max(1, min(most, int(gpu_bytes / (slack * peak_bytes + context))))


def runs_on_one_gpu(gpus: float) -> int:
    """How many runs that ask for so much of a GPU, in (0, 1], Ray puts on one."""
    return max(1, STEP // round(gpus * STEP))


def _a_share(nodes: Sequence[Mapping[str, Any]], peak_bytes: float | None, memory: float | None) -> float:
    if not any(node["Resources"].get("GPU") for node in nodes):
        return 0.0
    if peak_bytes is None or memory is None:
        return 1.0
    runs = runs_that_fit(peak_bytes, memory)
    logger.info(f"{runs} run(s) share a GPU: a training takes {peak_bytes / 2**30:.1f} of {memory / 2**30:.0f} GiB")
    return STEP // runs / STEP


def _cpus_of_a_run(nodes: Sequence[Mapping[str, Any]], gpus: float, per_machine: int) -> float:
    """The CPUs of a machine shared among its runs, whole ones where they suffice, so that no GPU waits for CPUs."""
    shares = []
    for offer in (node["Resources"] for node in nodes):
        runs = int(offer.get("GPU", 0)) * runs_on_one_gpu(gpus) if gpus else per_machine
        if runs and offer.get("CPU", 0):
            shares.append(offer["CPU"] / runs)
    share = min(shares, default=1.0)
    return float(math.floor(share)) if share >= 1 else math.floor(share * STEP) / STEP


def _smallest_gpu(ray: Any, nodes: Sequence[Mapping[str, Any]]) -> float | None:
    """Bytes of the smallest GPU of the cluster, as its machines tell; None where one of them cannot."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = [
        ray.remote(num_cpus=0)(_gpu_bytes)
        .options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
        .remote()
        for node in nodes
        if node["Resources"].get("GPU")
    ]
    told: list[float | None] = ray.get(asked)
    if None in told:
        logger.warning("a machine with GPUs has no nvidia-smi that tells their memory: one run a GPU")
        return None
    return min((each for each in told if each is not None), default=None)


def _gpu_bytes() -> float | None:
    """Memory of this machine's smallest GPU; the driver is asked, as a task without GPUs sees none through CUDA."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
        return min(float(mebibytes) for mebibytes in told) * 2**20
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _raise_if_too_much(nodes: Sequence[Mapping[str, Any]], cpus: float, gpus: float) -> None:
    offers = [node["Resources"] for node in nodes if node["Alive"]]
    if not any(offer.get("CPU", 0) >= cpus and offer.get("GPU", 0) >= gpus for offer in offers):
        told = "; ".join(f"{offer.get('CPU', 0):g} CPU, {offer.get('GPU', 0):g} GPU" for offer in offers)
        raise ValueError(
            f"a run asks for {cpus:g} CPU and {gpus:g} GPU, but no machine of the cluster has that ({told}). "
            "Pass other --cpus_per_run or --gpus_per_run."
        )


def _cancel(ray: Any, references: list[Any], workplace: Workplace) -> None:
    """Interrupt the tasks that are left; each stops its process, which takes some time."""
    for reference in references:
        ray.cancel(reference)
    if references:
        ray.wait(references, num_returns=len(references), timeout=3 * workplace.patience)
