"""What a study says of what made it and what it leaves: versions, machine, plan, code, weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .study import CARD, NO_RECORD, PLAN, RECORD, TRAIN, Known, Lacking, Said, Study

__all__ = ["FACTS"]


def versions(study: Study) -> list[Said]:
    found: dict[str, list[str]] = {}
    for run in study.every:
        for name, version in (run.run.get("versions") or run.card.get("versions") or {}).items():
            if version not in found.setdefault(name, []):
                found[name].append(str(version))
    if not found:
        return [NO_RECORD]
    said = ", ".join(f"{name} {' and '.join(values)}" for name, values in found.items())
    return [Known(f"{said}.", f"{study.places(RECORD)}: versions")]


def hardware(study: Study) -> list[Said]:
    builds = study.values(lambda run: (run.run.get("versions") or {}).get("torch"))
    devices = [device for device in study.config("device") if not device.startswith("$")]
    machines = study.values(lambda run: _machine(run.run.get("machine") or {}))
    found: list[Said] = [Known(f"{machine}.", f"{study.places(RECORD)}: machine") for machine in machines if machine]
    if devices:
        found.append(Known(f"Device: {', '.join(devices)}.", f"{RECORD}: config#device"))
    if builds and all(build.endswith("+cpu") for build in builds):
        found.append(Known("Trained on the CPU: this build of PyTorch knows no GPU.", f"{RECORD}: versions#torch"))
    return found or [Lacking("The records do not say on what device the runs were made.")]


def _machine(machine: Mapping[str, Any]) -> str:
    """Processor and GPU of a run in words; "" where it did not record them."""
    said = [f"{machine['cores']} cores of {machine['cpu']}" if "cpu" in machine else ""]
    said.append(f"one {machine['gpu']} of {machine['gpu_bytes'] / 1e9:.0f} GB a process" if "gpu" in machine else "")
    return "; ".join(part for part in said if part)


def protocol(study: Study) -> list[Said]:
    plan = study.collection.plan
    made = plan.get("protocol") or {}
    if not made:
        return [Lacking(f"There is no {PLAN}: the runs were started one by one. A plan is made by {TRAIN}")]
    entries = [entry for entry in plan.get("runs", []) if isinstance(entry, dict)]
    done = sum(entry.get("state") == "done" for entry in entries)
    overrides = ", ".join(f"{key} {_no_path(value)}" for key, value in (made.get("overrides") or {}).items()) or "none"
    configs = ", ".join(f"{name} {digest[:16]}" for name, digest in (made.get("config_files") or {}).items())
    return [
        Known(
            f"The plan was written before the first run: gammas {', '.join(map(str, made.get('gammas', [])))}; folds "
            f"{', '.join(map(str, made.get('folds', [])))}; overrides {overrides}. "
            f"{done} of its {len(entries)} runs (trainings and evaluations) are done.",
            f"{PLAN}: protocol, runs; bundle/experiments/plan.py",
        ),
        Known(f"Configs, first 16 digits of their SHA-256: {configs}.", f"{PLAN}: protocol#config_files"),
    ]


def code(study: Study) -> list[Said]:
    found: list[Said] = [Known("Code: seg-cyclegan-cesm, Apache License 2.0.", "LICENSE, CITATION.cff")]
    commits = study.values(lambda run: (run.run.get("versions") or {}).get("commit"))
    if commits and commits != ["unknown"]:
        found.append(Known(f"Commit: {', '.join(commits)}.", f"{RECORD}: versions#commit"))
        if any(commit.endswith("changed") for commit in commits):
            found.append(
                Lacking("Files were changed against that commit: publish the changes, or run again from a clean one.")
            )
    else:
        found.append(
            Lacking("The commit of the code was not recorded: name the version, or run again from a git checkout.")
        )
    return found


def weights(study: Study) -> list[Said]:
    hashes = [(run.name, run.card["sha256"][:16]) for run in study.trainings if run.card.get("sha256")]
    if not hashes:
        return [Lacking(f"No trained model was found: there is no {CARD}.")]
    said = ", ".join(f"{name} {digest}" for name, digest in hashes)
    return [
        Known("Two trained models for research come with the software.", "README.md"),
        Known(f"{len(hashes)} model(s) of this study, first 16 digits of their SHA-256: {said}.", f"{CARD}: sha256"),
    ]


def _no_path(value: Any) -> Any:
    return "(a path)" if isinstance(value, str) and Path(value).is_absolute() else value


FACTS = {
    fact.__name__: fact
    for fact in (
        versions,
        hardware,
        protocol,
        code,
        weights,
    )
}
