"""What a study says of its trainings: optimiser, time, seeds, and the choice of a model."""

from __future__ import annotations

from collections.abc import Sequence

from ..models import model_name
from ..report.collect import Run
from .study import CARD, NO_RECORD, RECORD, Known, Lacking, Said, Study, on_pairs
from .wording import span

__all__ = ["FACTS"]


def optimisation(study: Study) -> list[Said]:
    return [said for method, runs in study.by_method for said in _optimised(study, method, runs)] or [NO_RECORD]


def _optimised(study: Study, method: str, runs: Sequence[Run]) -> list[Said]:
    if not study.config("learning_rate", runs):
        return []
    value = {
        key: " or ".join(study.config(key, runs))
        for key in ("learning_rate", "weight_decay", "batch_size", "max_epochs")
    }
    optimisers = study.values(_optimiser, runs)
    schedules = study.values(_schedule, runs)
    found: list[Said] = [
        Known(
            f"{method}{' or '.join(optimisers) or 'Optimiser not recorded'}, learning rate {value['learning_rate']}, "
            f"weight decay {value['weight_decay'] or 'not recorded'}, batches of {value['batch_size']} pairs, at most "
            f"{value['max_epochs']} epochs; {' or '.join(schedules) or 'schedule not recorded'}.",
            f"{RECORD}: config#generator_optimizer, learning_rate, weight_decay, batch_size, max_epochs",
        )
    ]
    others = {"precision": study.config("precision", runs)}
    if not any(map(on_pairs, runs)):
        others["images kept for the discriminators"] = study.config("pool_size", runs)
    said = ", ".join(f"{name} {' or '.join(values)}" for name, values in others.items() if values)
    return [*found, Known(f"{method}Also: {said}.", f"{RECORD}: config#precision, pool_size")] if said else found


def _optimiser(run: Run) -> str | None:
    optimiser = (run.run.get("config") or {}).get("generator_optimizer") or {}
    name = str(optimiser.get("_target_", "")).rsplit(".", 1)[-1]
    betas = optimiser.get("betas")
    return f"{name}{f' (betas {betas[0]:g}, {betas[1]:g})' if betas else ''}" if name else None


def _schedule(run: Run) -> str | None:
    train = (run.run.get("config") or {}).get("train")
    if not isinstance(train, dict):
        return None
    names = [str(handler.get("_target_", "")) for handler in train.get("handlers", []) if isinstance(handler, dict)]
    return (
        "the learning rate follows a schedule"
        if any("LrSchedule" in name for name in names)
        else "learning rate constant"
    )


def duration(study: Study) -> list[Said]:
    done = _completed(study)
    epochs = [run.run["epochs"] for run in done if isinstance(run.run.get("epochs"), int)]
    seconds = [run.run["wall_time_seconds"] for run in done if "wall_time_seconds" in run.run]
    text = f"{len(done)} of {len(study.trainings)} trainings are completed."
    found: list[Said] = [Known(text, f"{study.places(RECORD)}: state")]
    if epochs:
        found.append(Known(f"Epochs run: {span(epochs)}.", f"{RECORD}: epochs"))
    if seconds:
        hours = span([round(one / 3600, 2) for one in seconds])
        text = f"Time of a training: {hours} hours; of a resumed one, since its last start."
        found.append(Known(text, f"{RECORD}: wall_time_seconds"))
    return found


def _completed(study: Study) -> list[Run]:
    return [run for run in study.trainings if run.run.get("state") == "completed"]


def seeds(study: Study) -> list[Said]:
    found = study.values(lambda run: run.run.get("seed", run.card.get("seed")))
    if not found:
        return []
    return [
        Known(
            f"Seed(s) of the trainings: {', '.join(found)}; one training for each fold, model and seed.",
            f"{RECORD}: seed",
        )
    ]


def epoch_choice(study: Study) -> list[Said]:
    warmup, patience, interval = (study.config(key) for key in ("warmup_epochs", "patience", "val_interval"))
    if not warmup or not patience:
        return [NO_RECORD]
    often = "every epoch" if interval in (["1"], []) else f"every {' or '.join(interval)} epochs"
    warms_up = warmup != ["0"]
    early = f"; the first {' or '.join(warmup)} are not judged" if warms_up else ""
    found: list[Said] = [
        Known(
            f"Kept is the epoch with the lowest mean L1 of virtual against real DES on the validation part, judged "
            f"after {often}{early}; a run stops after {' or '.join(patience)} epochs without a better one.",
            f"{RECORD}: config#warmup_epochs, patience, val_interval; bundle/handlers/best_model.py",
        )
    ]
    kept = [(run, run.card["epoch"]) for run in _completed(study) if isinstance(run.card.get("epoch"), int)]
    if kept:
        found.append(Known(f"Kept epochs: {span([epoch for _, epoch in kept])}.", f"{CARD}: epoch"))
    last = sum(epoch == run.run.get("epochs") for run, epoch in kept)
    if last:
        found.append(
            Known(
                f"{last} of {len(kept)} completed runs kept their last epoch: a longer training might have found a "
                f"better one{', or the warm-up was never over' if warms_up else ''}.",
                f"{CARD}: epoch; {RECORD}: epochs",
            )
        )
    return found


def gamma_choice(study: Study) -> list[Said]:
    choice = study.collection.choice
    if not choice:
        many = len(study.gammas) > 1
        return (
            [Lacking("No gamma was chosen (choice.json is written when the last run of a plan is done).")]
            if many
            else []
        )
    if choice.get("model") in (choice.get("methods") or {}):
        means = ", ".join(f"{model_name(name)}: {found['mean']:.4g}" for name, found in choice["methods"].items())
        text = f"{model_name(choice['model'])} was chosen: {choice.get('rule')}, of {choice.get('key')} ({means})."
        best = choice.get("gamma")
        text += "" if best is None else f" Of the paper's method gamma {best:g} had the lowest."
        return [Known(text, "choice.json: model, rule, key, methods, gamma")]
    if choice.get("gamma") is None:
        return [Known(f"No gamma was chosen: {choice.get('reason', 'no reason given')}.", "choice.json: gamma, reason")]
    means = ", ".join(f"{gamma}: {found['mean']:.4g}" for gamma, found in (choice.get("values") or {}).items())
    return [
        Known(
            f"Gamma {choice['gamma']:g} was chosen: {choice.get('rule')}, of {choice.get('key')} ({means}).",
            "choice.json: gamma, rule, key, values",
        )
    ]


FACTS = {
    fact.__name__: fact
    for fact in (
        optimisation,
        duration,
        seeds,
        epoch_choice,
        gamma_choice,
    )
}
