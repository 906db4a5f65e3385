"""Numbers to judge the project by: ``python -m scripts.benchmark phantom`` compares phantom pairs with real ones."""

from __future__ import annotations

from pathlib import Path

from .command_line import call

CDD_CESM = Path("data/cdd_cesm/datalist.json")


def phantom(
    datalist: str | None = None,
    output: str = "eval/phantom_realism",
    pairs: int = 200,
    part: str = "report",
    seed: int = 0,
    classifier: bool = True,
    num_workers: int | None = None,
) -> None:
    """Compare phantom pairs with the real malignant pairs of a datalist: tables, galleries and a classifier.

    Args:
        datalist: of the real pairs; null takes CDD-CESM's where the README makes it, data/cdd_cesm/datalist.json.
        output: the folder to write.
        pairs: number of phantom pairs.
        part: report | tune, the half of the real women; the phantom is tuned on one and reported on the other.
        seed: of the phantoms and of all that is drawn.
        classifier: also train a network to tell the two apart; some two minutes.
        num_workers: processes; null uses every core.
    """
    from bundle.phantom.realism.report import write_report

    if datalist is None and CDD_CESM.is_file():
        datalist = str(CDD_CESM)
    if datalist is None:
        raise ValueError(
            "--datalist is missing: expected the datalist.json of real pairs. Make one of CDD-CESM, which is free to "
            "download: python -m scripts.prepare cdd_cesm --root ROOT --output OUTPUT"
        )
    report = write_report(
        str(datalist),
        str(output),
        pairs=pairs,
        part=part,
        seed=seed,
        classifier=classifier,
        num_workers=num_workers,
    )
    print(report.text)
    print(f"\n{report.folder}: comparison.md, comparison.csv, pairs.csv, gallery.png, distributions.png")


if __name__ == "__main__":
    try:
        call(phantom, by_name=True)
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from None
