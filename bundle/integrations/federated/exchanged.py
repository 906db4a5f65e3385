"""Whether all that a config trains is exchanged between the sites of a federation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...experiments.command_line import CommandLine, merged_config

__all__ = ["check_exchange", "exchange_problems"]

AT_HOME = ("best_model", "failure_monitor", "copy_monitor")  # what a site has seen: it steers no other's training


def exchange_problems(config: Mapping[str, Any]) -> list[str]:
    """What a site would train and keep to itself, so that the sites would not train one model.

    Args:
        config: the merged config of a site, unparsed.
    """
    method, train = config.get("method"), config["train"]
    problems = []
    if "gen_des_to_le" not in train["trainer"]:
        problems.append(
            f"method {method} trains one generator, and a federation exchanges the four networks of a CycleGAN: leave "
            "the overlay of configs/baselines out."
        )
    parts = [name for handler in train["handlers"] for name in handler.get("parts", {}) if name not in AT_HOME]
    if parts:
        problems.append(
            f"method {method} has {', '.join(parts)}, which each site would keep to itself: weights, a gamma or a "
            "learning rate that no other site has. Leave its overlay out."
        )
    return problems


def check_exchange(command_line: CommandLine | None) -> None:
    """The same as a step of ``checking``; without the runner's command line nothing is checked.

    Raises:
        SystemExit: with every problem.
    """
    config = merged_config(command_line)
    if config is not None and (problems := exchange_problems(config)):
        listed = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(problems, start=1))
        raise SystemExit(f"the federation cannot start, {len(problems)} problem(s):\n{listed}")
