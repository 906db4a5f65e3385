"""Everything a run needs to go on: saved whole after each epoch, restored before the first."""

from __future__ import annotations

import io
import logging
import os
import pickle
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from ..engines.trainer import CycleGanTrainer
from ..networks.weights import save_bytes

__all__ = ["TrainingState", "checkpoint_data"]

logger = logging.getLogger(__name__)
FORMAT = 1
IMPLEMENTATION = ("fused", "foreach", "capturable")  # of an optimiser: how it works, not what it does


class TrainingState:
    """Writes ``checkpoint.pt`` atomically after every epoch and resumes from it, bit-identically on the CPU.

    It holds the four networks, both optimisers, both gradient scalers, both image pools, the epoch, the state of every
    further part that has one, and the hash of the data. It loads under ``torch.load(weights_only=True)``. Attach it
    first, so that the other handlers start from what it restores; it saves after all of them.

    Args:
        ckpt_dir: receives ``checkpoint.pt``.
        parts: further objects with ``state_dict`` and ``load_state_dict``, by name (best model, failure monitor, ...).
        data_hash: of the datalist and fold; a resume on other data is refused.
        datalist_hash: of the datalist alone; a start from a checkpoint of another split of the same list is refused.
        resume: go on from ``checkpoint.pt`` of ``ckpt_dir``.
        init_checkpoint: another run's ``checkpoint.pt`` to start from (stage 2): all four networks and, with
            ``init_optimizers``, both optimisers' moments; the learning rate is this run's own. Not used by a resume.
        init_optimizers: take over the optimisers' moments too.
        interval: epochs between saves; the last epoch is always saved.
    """

    def __init__(
        self,
        ckpt_dir: str | os.PathLike,
        parts: Mapping[str, Any] | None = None,
        data_hash: str = "",
        datalist_hash: str = "",
        resume: bool = False,
        init_checkpoint: str | os.PathLike | None = None,
        init_optimizers: bool = True,
        interval: int = 1,
    ) -> None:
        self.path = Path(ckpt_dir) / "checkpoint.pt"
        self.parts = dict(parts or {})
        self.data_hash = data_hash
        self.datalist_hash = datalist_hash
        self.resume = resume
        self.init_checkpoint = init_checkpoint
        self.init_optimizers = init_optimizers
        self.interval = interval
        self._saved_epoch = -1
        self._saves = False

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.started)

    def started(self, engine: CycleGanTrainer) -> None:
        if self.resume:
            self._resume(engine)
        elif self.init_checkpoint is not None:
            self._initialise(engine)
        if not self._saves:  # registered this late, it runs after every handler that was attached before the run
            engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self.save)
            engine.add_event_handler(Events.COMPLETED, self.save)
            self._saves = True

    def save(self, engine: CycleGanTrainer) -> None:
        whole_epochs = engine.state.iteration == engine.state.epoch * engine.state.epoch_length
        if not whole_epochs or engine.state.epoch == self._saved_epoch or engine.state.rank != 0:
            return  # half an epoch cannot be resumed; the state after the one before it is on the disk
        state = {
            "format": FORMAT,
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "data_hash": self.data_hash,
            "datalist_hash": self.datalist_hash,
            "networks": {name: network.state_dict() for name, network in engine.networks.items()},
            "optimizers": {name: part.state_dict() for name, part in self._optimizers(engine).items()},
            "scalers": {name: part.state_dict() for name, part in self._scalers(engine).items()},
            "pools": {"des": engine.pool_des.state_dict(), "le": engine.pool_le.state_dict()},
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        save_bytes(self.path, buffer.getvalue())
        self._saved_epoch = engine.state.epoch

    def _resume(self, engine: CycleGanTrainer) -> None:
        state = self._read(self.path, "Start without --resume, or point --ckpt_dir at the run.")
        if state["data_hash"] != self.data_hash:
            raise ValueError(
                f"{self.path} was trained on other data (hash {state['data_hash'][:12]}..., now "
                f"{self.data_hash[:12]}...). Resume with the data of that run, or choose another --ckpt_dir."
            )
        self._load_networks(engine, state, self.path)
        for name, optimizer in self._optimizers(engine).items():
            _take_over(optimizer, state["optimizers"][name], settings=IMPLEMENTATION)
        for name, scaler in self._scalers(engine).items():
            if state["scalers"][name]:  # empty where the run was not one in fp16
                scaler.load_state_dict(state["scalers"][name])
        for name, pool in (("des", engine.pool_des), ("le", engine.pool_le)):
            images = [image.to(engine.state.device) for image in state["pools"][name]["images"]]
            pool.load_state_dict({**state["pools"][name], "images": images})
        lacking = [name for name in self.parts if name not in state["parts"]]
        if lacking:
            raise ValueError(
                f"{self.path} lacks the state of {', '.join(lacking)}. Resume with the config of that run."
            )
        for name, part in self.parts.items():
            part.load_state_dict(state["parts"][name])
        engine.state.epoch = self._saved_epoch = state["epoch"]
        # counted in this run's batches: with another batch size Ignite would take the rest for half an epoch
        length = engine.state.epoch_length
        engine.state.iteration = state["iteration"] if length is None else state["epoch"] * length
        logger.info(f"going on after epoch {state['epoch']} of {self.path}")

    def _initialise(self, engine: CycleGanTrainer) -> None:
        path = Path(str(self.init_checkpoint))
        state = self._read(path, "Pass the checkpoint.pt that the pre-training wrote.")
        same_list = bool(self.datalist_hash) and state.get("datalist_hash") == self.datalist_hash
        if same_list and state["data_hash"] != self.data_hash:
            raise ValueError(
                f"{path} was trained on another split of this datalist: its training patients may stand in this "
                "run's validation or test part. Take the folds and --fold of that training."
            )
        self._load_networks(engine, state, path)
        if self.init_optimizers:
            for name, optimizer in self._optimizers(engine).items():
                _take_over(optimizer, state["optimizers"][name])
        logger.info(f"started from epoch {state['epoch']} of {path}")

    @staticmethod
    def _read(path: Path, step: str) -> dict[str, Any]:
        if not path.is_file():
            raise FileNotFoundError(f"there is no checkpoint {path}. {step}")
        try:  # on the CPU, where Adam keeps its step counts; the rest moves as it is loaded
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise ValueError(f"{path} cannot be read as a checkpoint. {step}") from error
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            raise ValueError(f"{path} is no checkpoint of four networks (a model.pt holds one generator). {step}")
        return state

    @staticmethod
    def _load_networks(engine: CycleGanTrainer, state: Mapping[str, Any], path: Path) -> None:
        for name, network in engine.networks.items():
            try:
                network.load_state_dict(state["networks"][name])
            except RuntimeError as error:
                raise ValueError(
                    f"{path} holds another {name} than this config builds: use the width, depth and options of its run."
                ) from error

    @staticmethod
    def _optimizers(engine: CycleGanTrainer) -> dict[str, torch.optim.Optimizer]:
        return {"generators": engine.generator_optimizer, "discriminators": engine.discriminator_optimizer}

    @staticmethod
    def _scalers(engine: CycleGanTrainer) -> dict[str, torch.amp.GradScaler]:
        return {"generators": engine.generator_scaler, "discriminators": engine.discriminator_scaler}


def _take_over(
    optimizer: torch.optim.Optimizer, state: dict[str, Any], settings: Collection[str] | None = None
) -> None:
    """Load an optimiser's moments and keep this run's own ``settings``: learning rate, decay, and so on; None is all.

    A fused optimiser walks through memory: its moments have to lie like their weights, its step counts beside them.
    """
    own = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, kept in zip(optimizer.param_groups, own, strict=True):
        group.update({key: value for key, value in kept.items() if settings is None or key in settings})
        for weight in group["params"]:
            values = optimizer.state.get(weight, {})
            for key, value in values.items():
                if key == "step" and isinstance(value, torch.Tensor):
                    beside = group.get("fused") or group.get("capturable")
                    values[key] = value.to(weight.device if beside else "cpu")
                elif isinstance(value, torch.Tensor) and value.shape == weight.shape:
                    values[key] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def checkpoint_data(path: str | os.PathLike | None) -> dict[str, str] | None:
    """The hashes of the data that a checkpoint was trained on, for the card of the model that starts from it."""
    if path is None or not Path(path).is_file():
        return None
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return {name: state.get(name, "") for name in ("datalist_hash", "data_hash")}
