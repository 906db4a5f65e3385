"""Folds of a datalist: ``python -m scripts.folds DATALIST --output folds.json [--k 10 --seed 0]``."""

from __future__ import annotations

from bundle.data.datalist import read_datalist
from bundle.data.folds import balance_table, read_folds, write_folds

from .command_line import call


def folds(datalist: str, output: str | None = None, k: int = 10, seed: int = 0, overwrite: bool = False) -> None:
    """Split the patients of a datalist into k folds, stratified by lesion maps, and print the balance.

    Args:
        datalist: the datalist to split.
        output: the file to write; by default folds.json beside the datalist.
        k: number of folds.
        seed: of the shuffle.
        overwrite: replace a file that is already there.
    """
    path = write_folds(datalist, output, k=k, seed=seed, overwrite=overwrite)
    content = read_datalist(datalist)
    print(f"{path}: {k} folds of {len(content['cases'])} pairs, seed {seed}")
    print(balance_table(content, read_folds(path, content, datalist)["folds"]).to_string())


if __name__ == "__main__":
    try:
        call(folds)
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from None
