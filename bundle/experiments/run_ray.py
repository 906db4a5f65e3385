"""Runs of a plan on many GPUs or machines: each is a task of Ray with its request for CPUs and GPUs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from .attempt import Outcome, Workplace, attempt
from .plan import Run
from .schedule import Submit

__all__ = ["ray_runs"]

INSTALL = 'pip install -c constraints.txt -e ".[ray]"'


@contextmanager
def ray_runs(
    workplace: Workplace,
    address: str | None = None,
    cpus: float = 1,
    gpus: float | None = None,
    lost_workers: int = 3,
) -> Iterator[Submit]:
    """Hands each run to Ray; a run whose worker is lost starts again elsewhere, from its checkpoint.

    All machines must see the repository and the plan's folder under the same path.

    Args:
        workplace: where and how the processes run.
        address: of a cluster (``auto``, ``ray://host:port``); None starts Ray on this machine.
        cpus, gpus: that a run asks for; ``gpus`` None asks for one where the cluster has any.
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
        gpus = (1.0 if ray.cluster_resources().get("GPU") else 0.0) if gpus is None else gpus
        _raise_if_too_much(ray.nodes(), cpus, gpus)
        task: Any = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=lost_workers)(attempt)
        references: dict[Future[Outcome], Any] = {}

        def submit(run: Run) -> Future[Outcome]:
            reference = task.remote(replace(run), workplace)
            future: Future[Outcome] = reference.future()
            references[future] = reference
            return future

        try:
            yield submit
        finally:
            _cancel(ray, [reference for future, reference in references.items() if not future.done()], workplace)
    finally:
        ray.shutdown()


def _raise_if_too_much(nodes: list[dict[str, Any]], cpus: float, gpus: float) -> None:
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
