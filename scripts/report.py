"""What came of an experiment: ``python -m scripts.report RUNS [--output report.html] [--reader_study N]`` writes a page
that works offline; ``python -m scripts.report analyse ANSWERS.csv ... KEY.csv`` reads the answers to a reader study;
``python -m scripts.report checklists RUNS [--output DIR]`` fills the reporting checklists CLAIM and TRIPOD+AI.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .command_line import call


def report(
    *runs: str,
    output: str | None = None,
    reader_study: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    size_limit: float = 60e6,
) -> None:
    """Write a report, or the page of a reader study. Answers to one: python -m scripts.report analyse --help;
    reporting checklists: python -m scripts.report checklists --help

    Args:
        runs: the folder of scripts.cross_validate, or any folders with metrics.csv at or below them.
        output: the page to write; null for RUNS/report/report.html (reader.html for a reader study).
        reader_study: write a blinded study of so many random pairs instead: a page for the readers, and <page>_key.csv
            with the truth, which readers must not see.
        seed: of a study's pairs, their order and sides.
        overwrite: replace what is there; a study's key too, without which its answers are worth nothing.
        size_limit: bytes of all pictures; above it they are compressed more.
    """
    from bundle.evaluation.report import write_reader_study, write_report

    if not runs:
        raise ValueError("no folder was given: expected python -m scripts.report RUNS [--output report.html].")
    if reader_study is None:
        page = write_report(runs, output, overwrite=overwrite, size_limit=size_limit, choice=_choice(runs))
        print(f"{page}: {page.stat().st_size / 1e6:.1f} MB, opens in any browser without a network")
        return
    if output is None and len(runs) != 1:
        raise ValueError(f"{len(runs)} folders were given: say with --output where the page goes.")
    study = write_reader_study(
        runs, reader_study, output or Path(runs[0]) / "report" / "reader.html", seed=seed, overwrite=overwrite
    )
    print(f"{study.page}: hand it to the readers; each saves a CSV\n{study.key}: the truth, not for the readers")
    print(f"then: python -m scripts.report analyse ANSWERS.csv ... {study.key}")


def _choice(runs: Sequence[str]) -> dict[str, Any] | None:
    """Of several studies the choice among all of their models; a single one has its choice.json."""
    from bundle.experiments.choice import choose_model
    from bundle.experiments.plan import PLAN_FILE

    planned = [folder for folder in runs if (Path(folder) / PLAN_FILE).is_file()]
    if len(planned) < 2:
        return None
    try:
        choice = choose_model(*planned)
        reason = choice.get("reason") if choice["key"] is None else None
    except ValueError as error:
        choice, reason = {}, str(error)
    if reason:
        logging.warning(f"the report shows no choice of a model: {reason}")
    return choice


def analyse(*files: str) -> None:
    """Read the answers to a reader study: who found the real DES how often, ratings, agreement of readers.

    Args:
        files: the answers, one CSV a reader, and last the key that was written beside the page.
    """
    from bundle.evaluation.report import analyse_readers

    if len(files) < 2:
        raise ValueError(
            f"{len(files)} file(s) were given: expected python -m scripts.report analyse ANSWERS.csv ... KEY.csv."
        )
    result = analyse_readers(files[:-1], files[-1])
    for title, table in (
        ("Real DES found, with 95 % interval and test against 0.5", result.choices),
        ("Ratings, 1 to 5, more is better", result.ratings),
        ("Agreement of readers: kappa, with quadratic weights for ratings", result.agreement),
    ):
        if len(table):
            print(f"{title}\n{table.to_string(index=False, float_format='%.3f', na_rep='-')}\n")
    print("\n".join(result.notes))


def checklists(*runs: str, output: str | None = None, overwrite: bool = False) -> None:
    """Fill the reporting checklists CLAIM 2024 and TRIPOD+AI with what the study and the software say.

    Args:
        runs: the folder of scripts.cross_validate, or any folders with run.json or metrics.csv at or below them; none
            for blank checklists.
        output: the folder to write to; null for RUNS/report/checklists.
        overwrite: replace what is there, with all that authors wrote into it.
    """
    from bundle.evaluation.checklists import write_checklists

    paths = write_checklists(runs, output, overwrite=overwrite)
    print("\n".join(map(str, paths)))
    print("Check each statement; what no software can know is for the authors to write.")


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["analyse"]:
        call(analyse, arguments=arguments[1:], name="report analyse")
    elif arguments[:1] == ["checklists"]:
        call(checklists, arguments=arguments[1:], name="report checklists")
    else:
        call(report, arguments=arguments, name="report")


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s: %(message)s")
    try:
        main(sys.argv[1:])
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from None
