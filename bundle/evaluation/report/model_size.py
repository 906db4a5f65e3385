"""How large the models are and how they were trained, beside what the paper did: one sentence for below Table I."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..models import model_name
from .collect import Collection, Run, method_of

__all__ = ["PAPER_SIZE", "generator_of", "model_size"]

# what the paper and its authors' code say (Rofena et al., arXiv 2505.03018)
PAPER_SIZE = (
    "256 px, generator width 64, 9 residual blocks, transposed up-sampling, at most 200 epochs, batches of 8, learning "
    "rate 1e-5, pre-trained"
)


def generator_of(run: Run) -> dict[str, Any]:
    """Numbers of the generator, from the model's card or else from the run's config."""
    network = run.card.get("network") or (run.run.get("config") or {}).get("network_def") or {}
    return {key: value for key, value in network.items() if not key.startswith("_")}


def model_size(collection: Collection) -> str:
    """A sentence on the size of the models that were judged and how they depart from the paper, as far as known.

    Values of runs that differ stand together; without any record the sentence says that the size is not known. It is of
    the runs of the paper's method, where there are any; a second one names the others.
    """
    others = list(dict.fromkeys(method for run in collection.runs if (method := method_of(run))))
    own = [run for run in collection.runs if not method_of(run)]
    sentence = _of_runs(own or collection.runs)
    if not own or not others:
        return sentence
    return f"{sentence} Other methods ({'; '.join(map(model_name, others))}): see Settings."


def _of_runs(runs: Sequence[Run]) -> str:
    parts = [_said(runs, *part) for part in _PARTS]
    ours = ", ".join(part for part in parts if part)
    if not ours:
        return f"The size of the models is not recorded. The paper: {PAPER_SIZE}."
    return f"The models: {ours}{', all as in the paper.' if ours == PAPER_SIZE else f'. The paper: {PAPER_SIZE}.'}"


def _said(runs: Sequence[Run], words: str, value: Callable[[Run], Any]) -> str:
    found = dict.fromkeys(str(known) for run in runs if (known := value(run)) is not None)
    return words.format(" or ".join(found)) if found else ""


def _config(key: str) -> Callable[[Run], Any]:
    return lambda run: (run.run.get("config") or {}).get(key)


def _network(key: str) -> Callable[[Run], Any]:
    return lambda run: generator_of(run).get(key)


def _rate(run: Run) -> str | None:
    rate = _config("learning_rate")(run)
    short = isinstance(rate, (int, float)) and rate > 0
    return np.format_float_scientific(rate, trim="-", exp_digits=1) if short else rate


def _start(run: Run) -> str | None:
    config = run.run.get("config") or {}
    if "init_checkpoint" not in config:
        return None
    return "no pre-training" if config["init_checkpoint"] is None else "pre-trained"


_PARTS: tuple[tuple[str, Callable[[Run], Any]], ...] = (
    ("{} px", lambda run: run.card.get("image_size") or _config("image_size")(run)),
    ("generator width {}", _network("width")),
    ("{} residual blocks", _network("num_blocks")),
    ("{} up-sampling", _network("upsample")),
    ("at most {} epochs", _config("max_epochs")),
    ("batches of {}", _config("batch_size")),
    ("learning rate {}", _rate),
    ("{}", _start),
)
