"""What ``python -m monai.bundle run`` was called with, and the config that came of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser

__all__ = ["CommandLine", "merged_config", "read_command_line"]

# arguments of the runner itself, not overrides of a config
RUNNER_ARGUMENTS = {
    *("run_id", "init_id", "final_id", "meta_file", "config_file", "logging_file", "tracking", "args_file"),
    *("workflow_name", "workflow_type", "properties_path"),
}


@dataclass(frozen=True)
class CommandLine:
    """Config files in the order in which they are merged, and overrides by config id (``a::b`` for nested ones)."""

    config_files: list[str] = field(default_factory=list)
    overrides: dict[str, Any] = field(default_factory=dict)


def read_command_line(argv: Sequence[str]) -> CommandLine | None:
    """Parse the arguments of ``python -m monai.bundle run`` as python-fire does.

    Args:
        argv: ``sys.argv``.

    Returns:
        None where the process is another one (a test, a server that loads the bundle).
    """
    if len(argv) < 2 or Path(argv[0]).parts[-3:] != ("monai", "bundle", "__main__.py") or argv[1] != "run":
        return None
    arguments: dict[str, Any] = {}
    rest = list(argv[2:])
    while rest:
        token = rest.pop(0)
        if not token.startswith("--"):
            continue  # the run id
        name, equals, value = token[2:].partition("=")
        if equals:
            arguments[name] = DefaultParseValue(value)
        elif rest and not rest[0].startswith("--"):
            arguments[name] = DefaultParseValue(rest.pop(0))
        else:
            arguments[name] = True
    if arguments.get("args_file"):
        arguments = {**json.loads(Path(arguments["args_file"]).read_text(encoding="utf-8")), **arguments}
    files = arguments.get("config_file") or []
    overrides = {name: value for name, value in arguments.items() if name not in RUNNER_ARGUMENTS}
    return CommandLine(
        config_files=[files] if isinstance(files, str) else list(files),
        overrides={name.replace("-", "_").replace("#", "::"): value for name, value in overrides.items()},
    )


def merged_config(command_line: CommandLine | None) -> dict[str, Any] | None:
    """The config of a run with its overlays and overrides, unparsed; None where there was no command line."""
    if command_line is None or not command_line.config_files:
        return None
    parser = ConfigParser(config=ConfigParser.load_config_files(command_line.config_files))
    parser.update(command_line.overrides)
    return parser.get()
