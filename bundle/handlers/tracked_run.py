"""What MONAI's MLflow handler leaves out of a run of ours: which run it is, loss terms, panels, config and model."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.handlers import MLFlowHandler

from .logins import without_logins

__all__ = ["TrackedRun", "require_mlflow"]

logger = logging.getLogger(__name__)
PLACE = "place"  # the tag by which a resumed training finds its run: a hash of machine and folder
PARAMETER_LENGTH = 6000  # the most that MLflow keeps of a parameter's value


def _silence() -> None:
    """MLflow tells its makers of its use unless it is told not to; whoever wants that sets the variable to false."""
    if os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true").lower() not in ("true", "1"):
        return
    telemetry = sys.modules.get("mlflow.telemetry")
    if telemetry is not None:  # MONAI may have imported MLflow first, which then has a client already
        telemetry.set_telemetry_client()  # looks at the variable again, and takes the client away


_silence()


def require_mlflow(command_line: Any = None) -> None:
    """Say before a tracked run begins that MLflow is missing.

    Args:
        command_line: what the runner was called with, if it was.

    Raises:
        ModuleNotFoundError: with the command that installs it; a SystemExit where the runner's command line is known.
    """
    try:
        import mlflow  # noqa: F401
    except ImportError as error:
        text = (
            f"--tracking mlflow needs MLflow, which cannot be imported ({error}). "
            'Install it with pip install -c constraints.txt -e ".[tracking]", or leave --tracking out.'
        )
        # the runner would bury the first under tracebacks of its own; the other is printed and ends the process
        raise ModuleNotFoundError(text) if command_line is None else SystemExit(text) from None


class TrackedRun:
    """Takes care of the MLflow run that ``--tracking`` asks for; does nothing, and imports nothing, without it.

    ``monai.bundle run ... --tracking mlflow`` appends an ``MLFlowHandler`` to the handlers of the engines; those log
    ``engine.state.metrics`` after each epoch (``LossCurves`` leaves the means of all loss terms there). This handler
    makes their run and hands it to them: with its name, tags and parameters; and adds the merged config at the start,
    the panels after each validation, and the model with its card at the end. MONAI's log of each iteration is taken
    out: it cannot read this engine's output, and on a GPU it waits for every step.

    A resumed training goes on in the run of its ``place``; the run of one that was killed and begun anew is closed as
    ``KILLED``. Attach it after the handlers that write the files.

    Args:
        place: folder that stands for this training (``ckpt_dir``); None for a run that is never resumed.
        evaluator: the engine that validates, whose handler is to log to the same run.
        name: of the run; None leaves it to MLflow.
        tags: such as gamma, fold, the data's hash; ``notice`` also becomes the run's description.
        parameters: settings of the run.
        config: the config as it was merged with the command line, or None where it is not known; it is logged without
            the logins of its URIs.
        panels: folder of panels ``*_epoch_0001.png``; those of an epoch are logged when it ends.
        files: by folder of the run's artifacts, what is logged when the engine has completed; "" is their root.
        resume: go on in the run of ``place``.
    """

    def __init__(
        self,
        place: str | os.PathLike | None = None,
        evaluator: Engine | None = None,
        name: str | None = None,
        tags: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        panels: str | os.PathLike | None = None,
        files: Mapping[str, Sequence[str]] | None = None,
        resume: bool = False,
    ) -> None:
        where = "" if place is None else f"{platform.node()}:{Path(place).resolve()}"
        self.place = where and hashlib.sha256(where.encode()).hexdigest()[:16]
        self.evaluator = evaluator
        self.name = name
        self.tags = {key: _text(value) for key, value in (tags or {}).items()}
        self.parameters = without_logins(dict(parameters or {}))
        self.config = without_logins(config)
        self.panels = None if panels is None else Path(panels)
        self.files = dict(files or {})
        self.resume = resume
        self._client: Any = None
        self._run_id = ""

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.started)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)
        engine.add_event_handler(Events.COMPLETED, self.completed)

    def started(self, engine: Engine) -> None:
        trackers = list(_trackers(engine))
        if not trackers:
            return
        self._client = trackers[0].client
        run = self._client.get_run(self._open(trackers[0]))
        self._run_id = run.info.run_id
        for tracker in [*trackers, *_trackers(self.evaluator)]:
            tracker.cur_run = run
        for tracker in trackers:
            if engine.has_event_handler(tracker.iteration_completed, Events.ITERATION_COMPLETED):
                engine.remove_event_handler(tracker.iteration_completed, Events.ITERATION_COMPLETED)
        self._describe(run)
        logger.info(f"MLflow: run {run.info.run_name!r} in {without_logins(self._client.tracking_uri)}")

    def epoch_completed(self, engine: Engine) -> None:
        if self._client is not None and self.panels is not None:
            for path in sorted(self.panels.glob(f"*_epoch_{engine.state.epoch:04d}.png")):
                self._client.log_artifact(self._run_id, str(path), "panels")

    def completed(self, engine: Engine) -> None:
        if self._client is not None:
            for folder, paths in self.files.items():
                for path in map(Path, paths):
                    if path.is_file():
                        self._client.log_artifact(self._run_id, str(path), folder or None)

    def _open(self, tracker: MLFlowHandler) -> str:
        """Id of the run to go on with, or of a new one."""
        client = self._client
        experiment = client.get_experiment_by_name(tracker.experiment_name)
        if experiment is None:
            experiment_id = client.create_experiment(tracker.experiment_name, tracker.artifact_location)
        else:
            experiment_id = experiment.experiment_id
        former = [self._run_id] if self._run_id else []  # of an engine that is run once more, as in federated learning
        if self.place and not former:
            found = client.search_runs(
                [experiment_id], f"tags.{PLACE} = '{self.place}'", order_by=["attributes.start_time DESC"]
            )
            former = [run.info.run_id for run in found if self.resume]
            for run in found:
                if run.info.status == "RUNNING" and run.info.run_id not in former:
                    client.set_terminated(run.info.run_id, "KILLED")
        if former:
            client.update_run(former[0], status="RUNNING")
            return former[0]
        tags = self.tags | ({PLACE: self.place} if self.place else {})
        if "notice" in tags:
            tags["mlflow.note.content"] = tags["notice"]
        return client.create_run(experiment_id, run_name=self.name or tracker.run_name, tags=tags).info.run_id

    def _describe(self, run: Any) -> None:
        from mlflow.entities import Param

        new = {key: value for key, value in self.parameters.items() if key not in run.data.params}  # they cannot change
        parameters = [Param(key, _text(value)[:PARAMETER_LENGTH]) for key, value in new.items()]
        self._client.log_batch(run.info.run_id, params=parameters)
        if self.config is not None:
            text = json.dumps(self.config, indent=1, default=str)
            self._client.log_text(run.info.run_id, text, "config.json")


def _trackers(engine: Engine | None) -> Iterable[MLFlowHandler]:
    return (handler for handler in getattr(engine, "handlers", ()) if isinstance(handler, MLFlowHandler))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
