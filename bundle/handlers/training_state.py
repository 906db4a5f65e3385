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
from torch import nn

from ..data.provenance import starts
from ..engines.paired_trainer import PairedTrainer
from ..engines.trainer import CycleGanTrainer
from ..networks.weights import save_bytes

__all__ = ["TrainingState", "checkpoint_data"]

logger = logging.getLogger(__name__)
FORMAT = 1
AnyTrainer = CycleGanTrainer | PairedTrainer
IMPLEMENTATION = ("fused", "foreach", "capturable")  # of an optimiser: how it works, not what it does


class TrainingState:
    """Writes ``checkpoint.pt`` atomically after every epoch and resumes from it, bit-identically on the CPU.

    It holds the trainer's networks, optimisers, gradient scalers and image pools, the epoch, the state of every further
    part that has one, and the hash of the data. It loads under ``torch.load(weights_only=True)``. Attach it
    first, so that the other handlers start from what it restores; it saves after all of them.

    Args:
        ckpt_dir: receives ``checkpoint.pt``.
        parts: further objects with ``state_dict`` and ``load_state_dict``, by name (best model, failure monitor, ...).
        data_hash: of the datalist and fold; a resume on other data is refused.
        datalist_hash: of the datalist alone; a start from a checkpoint of another split of the same list is refused,
            and so is one that itself started from such a checkpoint.
        datalist: the list's name, for the cards of what starts from here.
        resume: go on from ``checkpoint.pt`` of ``ckpt_dir``.
        init_checkpoint: another run's ``checkpoint.pt`` to start from (stage 2): all its networks and, with
            ``init_optimizers``, its optimisers' moments; the learning rate is this run's own. Of a trainer with other
            networks those that both have are taken, and no moments. A part with ``networks`` and ``optimizers``,
            as ``OwnDiscriminator`` is, is taken over where the checkpoint has one of its name. Not used by a resume.
        init_optimizers: take over the optimisers' moments too.
        interval: epochs between saves; the last epoch is always saved.
    """

    def __init__(
        self,
        ckpt_dir: str | os.PathLike,
        parts: Mapping[str, Any] | None = None,
        data_hash: str = "",
        datalist_hash: str = "",
        datalist: str = "",
        resume: bool = False,
        init_checkpoint: str | os.PathLike | None = None,
        init_optimizers: bool = True,
        interval: int = 1,
    ) -> None:
        self.path = Path(ckpt_dir) / "checkpoint.pt"
        self.parts = dict(parts or {})
        self.data_hash = data_hash
        self.datalist_hash = datalist_hash
        self.datalist = datalist
        self.init: dict[str, Any] | None = None  # of the training that this one started from
        self.resume = resume
        self.init_checkpoint = init_checkpoint
        self.init_optimizers = init_optimizers
        self.interval = interval
        self._saved_epoch = -1
        self._saves = False

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.started)

    def started(self, engine: AnyTrainer) -> None:
        if self.resume:
            self._resume(engine)
        elif self.init_checkpoint is not None:
            self._initialise(engine)
        if not self._saves:  # registered this late, it runs after every handler that was attached before the run
            engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self.save)
            engine.add_event_handler(Events.COMPLETED, self.save)
            self._saves = True

    def save(self, engine: AnyTrainer) -> None:
        whole_epochs = engine.state.iteration == engine.state.epoch * engine.state.epoch_length
        if not whole_epochs or engine.state.epoch == self._saved_epoch or engine.state.rank != 0:
            return  # half an epoch cannot be resumed; the state after the one before it is on the disk
        state = {
            "format": FORMAT,
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "data_hash": self.data_hash,
            "datalist_hash": self.datalist_hash,
            "datalist": self.datalist,
            "init": self.init,
            "networks": {name: network.state_dict() for name, network in engine.networks.items()},
            "optimizers": {name: part.state_dict() for name, part in engine.optimizers.items()},
            "scalers": {name: part.state_dict() for name, part in engine.scalers.items()},
            "pools": {name: pool.state_dict() for name, pool in engine.pools.items()},
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        save_bytes(self.path, buffer.getvalue())
        self._saved_epoch = engine.state.epoch

    def _resume(self, engine: AnyTrainer) -> None:
        state = self._read(self.path, "Start without --resume, or point --ckpt_dir at the run.")
        if state["data_hash"] != self.data_hash:
            raise ValueError(
                f"{self.path} was trained on other data (hash {state['data_hash'][:12]}..., now "
                f"{self.data_hash[:12]}...). Resume with the data of that run, or choose another --ckpt_dir."
            )
        if engine.networks.keys() != state["networks"].keys():
            raise ValueError(
                f"{self.path} is of another kind of training (its networks are {', '.join(state['networks'])}, this "
                f"config's {', '.join(engine.networks)}). Resume with the config of that run."
            )
        self._load_networks(engine.networks, state["networks"], self.path, engine.networks)
        for name, optimizer in engine.optimizers.items():
            _take_over(optimizer, state["optimizers"][name], settings=IMPLEMENTATION)
        for name, scaler in engine.scalers.items():
            if state["scalers"][name]:  # empty where the run was not one in fp16
                scaler.load_state_dict(state["scalers"][name])
        for name, pool in engine.pools.items():
            images = [image.to(engine.state.device) for image in state["pools"][name]["images"]]
            pool.load_state_dict({**state["pools"][name], "images": images})
        later = ("copy_monitor",)  # parts that checkpoints of earlier versions do not have, and that may start anew
        lacking = [name for name in self.parts if name not in state["parts"] and name not in later]
        beyond = [name for name in state["parts"] if name not in self.parts]
        problems = [f"lacks the state of {', '.join(lacking)}"] if lacking else []
        problems += [f"holds the state of {', '.join(beyond)}, which this config does not build"] if beyond else []
        if problems:
            raise ValueError(f"{self.path} {', and '.join(problems)}. Resume with the config of that run.")
        for name in self.parts.keys() & state["parts"].keys():
            self.parts[name].load_state_dict(state["parts"][name])
        self.init = state.get("init")
        engine.state.epoch = self._saved_epoch = state["epoch"]
        # counted in this run's batches: with another batch size Ignite would take the rest for half an epoch
        length = engine.state.epoch_length
        engine.state.iteration = state["iteration"] if length is None else state["epoch"] * length
        logger.info(f"going on after epoch {state['epoch']} of {self.path}")

    def _initialise(self, engine: AnyTrainer) -> None:
        path = Path(str(self.init_checkpoint))
        state = self._read(path, "Pass the checkpoint.pt that the pre-training wrote.")
        self.init = _training_of(state)
        of_list = [each for each in (state, *starts(state)) if each.get("datalist_hash") == self.datalist_hash]
        if self.datalist_hash and any(each.get("data_hash") != self.data_hash for each in of_list):
            raise ValueError(
                f"{path} was trained on another split of this datalist: its training patients may stand in this "
                "run's validation or test part. Take the folds and --fold of that training."
            )
        shared = engine.networks.keys() & state["networks"].keys()
        same_networks = engine.networks.keys() == state["networks"].keys()
        self._load_networks(engine.networks, state["networks"], path, shared)
        if self.init_optimizers and same_networks:
            for name, optimizer in engine.optimizers.items():
                _take_over(optimizer, state["optimizers"][name])
        taken = "" if same_networks else f" ({', '.join(sorted(shared))} alone: it is of another kind of training)"
        logger.info(f"started from epoch {state['epoch']} of {path}{taken}")
        self._initialise_parts(state["parts"], path)

    def _initialise_parts(self, saved: Mapping[str, Any], path: Path) -> None:
        """Take over what parts train themselves; whatever else they keep begins anew."""
        for name, part in self.parts.items():
            if not hasattr(part, "networks"):
                continue
            if name not in saved:
                logger.info(f"{name} starts anew: {path} has none")
                continue
            self._load_networks(part.networks, saved[name], path, part.networks)
            if self.init_optimizers:
                for key, optimizer in part.optimizers.items():
                    _take_over(optimizer, saved[name][key])
            logger.info(f"{name} is taken over too")

    @staticmethod
    def _read(path: Path, step: str) -> dict[str, Any]:
        if not path.is_file():
            raise FileNotFoundError(f"there is no checkpoint {path}. {step}")
        try:  # on the CPU, where Adam keeps its step counts; the rest moves as it is loaded
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise ValueError(f"{path} cannot be read as a checkpoint. {step}") from error
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            raise ValueError(f"{path} is no checkpoint of a training (a model.pt holds one generator). {step}")
        return state

    @staticmethod
    def _load_networks(
        networks: Mapping[str, nn.Module], saved: Mapping[str, Any], path: Path, names: Collection[str]
    ) -> None:
        for name, network in networks.items():
            if name not in names:
                continue
            try:
                network.load_state_dict(saved[name])
            except RuntimeError as error:
                raise ValueError(
                    f"{path} holds another {name} than this config builds: use the width, depth and options of its run."
                ) from error


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


def checkpoint_data(path: str | os.PathLike | None) -> dict[str, Any] | None:
    """What a checkpoint was trained on and how long, for the card of the model that starts from it.

    Returns:
        ``datalist`` (the list's name), ``datalist_hash``, ``data_hash``, ``epochs``, ``steps`` and, where the
        checkpoint itself started from another, ``init``: the same of that one. What an older one lacks is left out.
    """
    if path is None or not Path(path).is_file():
        return None
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return _training_of(state)


def _training_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint tells of its training."""
    known = {name: state.get(name, "") for name in ("datalist", "datalist_hash", "data_hash")}
    known |= {"epochs": state.get("epoch"), "steps": state.get("iteration"), "init": state.get("init")}
    return {name: value for name, value in known.items() if value or name.endswith("_hash")}
