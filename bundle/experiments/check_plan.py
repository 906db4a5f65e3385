"""What every run of a plan would refuse, and what only shows when a training is over: found before the first one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .plan import NONE, Plan, Run

if TYPE_CHECKING:
    from monai.bundle import ConfigParser

    from .command_line import CommandLine

__all__ = ["config_of", "plan_problems"]


def config_of(run: Run, root: Path) -> ConfigParser:
    """The merged config of a run, its overrides included, not yet parsed."""
    from monai.bundle import ConfigParser

    line = _command_line(run, root)
    parser = ConfigParser(config=ConfigParser.load_config_files(line.config_files))
    parser.update(line.overrides)
    return parser


def _command_line(run: Run, root: Path) -> CommandLine:
    from .command_line import CommandLine

    files = [str(root / path) for path in run.config_files]
    given = run.overrides.items()
    return CommandLine(files, {name.replace("#", "::"): NONE if value is None else value for name, value in given})


def plan_problems(plan: Plan, root: Path, here: bool = True) -> list[str]:
    """Problems of the configs that runs are made of; and tells the trainings of the plan how many epochs they have.

    Runs of a method are told the gamma of its overlays, too.

    Args:
        plan: whose runs differ in fold, seed, gamma and places alone where they have the same configs and method.
        root: the repository.
        here: whether the runs are to be on this machine; else its devices do not matter.
    """
    from .check_config import config_problems, stack_problems

    problems: dict[str, None] = {}
    found_of: dict[tuple[str | None, ...], dict[str, Any]] = {}
    for run in plan:
        files = tuple(run.config_files)
        if (run.method, *files) not in found_of:
            try:
                settings = _settings(run, root)
            except Exception as error:  # an expression may raise anything
                cause = error.__cause__ or error
                problems[f"{' + '.join(files)} cannot be read: {type(cause).__name__}: {cause}."] = None
                settings = None
            line = _command_line(run, root)
            found = config_problems(settings, line, here=here) if settings is not None else []
            found += stack_problems(line) if run.run_id == "training" and settings is not None else []
            whose = f"method {run.method}: " if run.method else ""
            problems |= {whose + problem: None for problem in found if problem not in problems}
            found_of[run.method, *files] = settings or {}
        settings = found_of[run.method, *files]
        epochs = settings.get("max_epochs")
        run.max_epochs = epochs if run.run_id == "training" and isinstance(epochs, int) else None
        if run.method and run.stage == 2:
            run.gamma = settings.get("gamma") or 0
    return list(problems)


def _settings(run: Run, root: Path) -> dict[str, Any]:
    """The root keys of a run, resolved; without the checkpoint that another run of the plan is still to make."""
    parser = config_of(run, root)
    settings = dict(parser.get_parsed_content("settings"))
    if "init_checkpoint" in run.overrides or run.run_id == "evaluating":
        settings |= {"init_checkpoint": None, "resume": False}
    if run.run_id == "evaluating":
        settings.setdefault("with_vif", parser.get_parsed_content("evaluate::metrics::with_vif", default=False))
    return settings
