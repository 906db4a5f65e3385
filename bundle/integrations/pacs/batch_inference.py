"""The batch inference of this bundle, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...networks.weights import card_problems, load_weights

__all__ = ["BatchInference", "TranslationFailed"]

LOG_BYTES = 5 * 2**20  # of the log; as much of what was before stays beside it
CONFIGS = ("configs/inference.json", "configs/inference_dicom.json")


class TranslationFailed(RuntimeError):
    """The batch as a whole went wrong; the text is for a log, so it names nobody."""


@dataclass(frozen=True)
class BatchInference:
    """The batch inference of this bundle, as a process of its own.

    Attributes:
        root: the repository.
        ckpt_path: the weights.
        log: receives what the process prints.
        options: further overrides of the config, such as ``--device cpu``.
        stopped: asked now and then; True ends the process.
        configs: of the run.
        runner: arguments of Python in front of the run's own.
    """

    root: Path
    ckpt_path: Path
    log: Path
    options: Sequence[str] = ()
    stopped: Callable[[], bool] = lambda: False
    configs: Sequence[str] = CONFIGS
    runner: Sequence[str] = ("-m", "monai.bundle", "run")

    def check(self) -> None:
        """Load the weights once, as each run will.

        Raises:
            ValueError: with what is wrong with them or their card.
        """
        from monai.bundle import ConfigParser

        problems = card_problems(self.ckpt_path)
        if problems:
            raise ValueError("\n".join(problems))
        parser = ConfigParser()
        parser.read_config([str(self.root / name) for name in self.configs])
        parser["ckpt_path"] = str(self.ckpt_path.resolve())
        load_weights(self.ckpt_path, parser.get_parsed_content("network_def"))

    def __call__(self, dataset_dir: Path, output_dir: Path) -> None:
        """Translate a folder; ``results.csv`` says what became of each file.

        Raises:
            TranslationFailed: when the process ended without its table.
        """
        settings = {
            "config_file": str(list(self.configs)),
            "dataset_dir": str(dataset_dir.resolve()),
            "output_dir": str(output_dir.resolve()),
            "ckpt_path": str(self.ckpt_path.resolve()),
        }
        arguments = [text for key, value in settings.items() for text in (f"--{key}", value)]
        if self.log.is_file() and self.log.stat().st_size > LOG_BYTES:
            os.replace(self.log, f"{self.log}.1")
        with open(self.log, "ab") as log:
            process = subprocess.Popen(
                [sys.executable, *self.runner, *arguments, *self.options],
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                while True:
                    try:
                        status = process.wait(0.2)
                        break
                    except subprocess.TimeoutExpired:
                        if self.stopped():
                            raise TranslationFailed("stopped") from None
            finally:
                if process.poll() is None:
                    _end(process)
        if not (output_dir / "results.csv").is_file():
            raise TranslationFailed(f"exit status {status} without results.csv; see {self.log}")


def _end(process: subprocess.Popen) -> None:
    for number in (15, 9):
        try:
            os.killpg(process.pid, number)
            process.wait(10)
            return
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
