"""What ``python -m monai.bundle run`` was called with, and the config that came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fire
from monai.bundle import ConfigParser, update_kwargs

__all__ = ["CommandLine", "merged_config", "read_command_line"]

# arguments of the runner and of its workflow, not overrides of a config
RUNNER_ARGUMENTS = {
    *("run_id", "init_id", "final_id", "meta_file", "config_file", "logging_file", "tracking", "args_file"),
    *("workflow_name", "workflow_type", "properties_path"),
}


@dataclass(frozen=True)
class CommandLine:
    """What the runner was given.

    Attributes:
        config_files: in the order in which they are merged.
        overrides: by config id (``a::b`` for nested ones), those of an ``args_file`` included.
        left_out: ids whose override was ``None``: the runner takes that for "not given".
    """

    config_files: list[str] = field(default_factory=list)
    overrides: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def read_command_line(argv: Sequence[str]) -> CommandLine | None:
    """Parse the arguments of ``python -m monai.bundle run``: python-fire does it, as it did for the runner.

    Args:
        argv: ``sys.argv``.

    Returns:
        None where the process is another one (a test, a server that loads the bundle).
    """
    if len(argv) < 2 or Path(argv[0]).parts[-3:] != ("monai", "bundle", "__main__.py") or argv[1] != "run":
        return None
    given: dict[str, Any] = {}

    def run(  # the signature of monai.bundle.run
        run_id: Any = None,
        init_id: Any = None,
        final_id: Any = None,
        meta_file: Any = None,
        config_file: Any = None,
        logging_file: Any = None,
        tracking: Any = None,
        args_file: Any = None,
        **override: Any,
    ) -> None:
        given.update(override, config_file=config_file, args_file=args_file)

    fire.Fire({"run": run}, command=list(argv[1:]), name="monai.bundle")
    arguments = update_kwargs(args=given.pop("args_file"), **given)
    files = arguments.get("config_file") or []
    return CommandLine(
        config_files=[files] if isinstance(files, str) else list(files),
        overrides={_config_id(name): value for name, value in arguments.items() if name not in RUNNER_ARGUMENTS},
        left_out=[_config_id(name) for name, value in given.items() if value is None and name not in RUNNER_ARGUMENTS],
    )


def _config_id(name: str) -> str:
    return name.replace("#", "::")


def merged_config(command_line: CommandLine | None) -> dict[str, Any] | None:
    """The config of a run with its overlays and overrides, unparsed; None where there was no command line."""
    if command_line is None or not command_line.config_files:
        return None
    parser = ConfigParser(config=ConfigParser.load_config_files(command_line.config_files))
    parser.update(command_line.overrides)
    return parser.get()
