"""Data in: ``python -m scripts.prepare phantom | cdd_cesm --output DIR`` writes a datalist and its folds."""

from __future__ import annotations

import fire

from bundle.data.datalist import read_datalist
from bundle.data.folds import balance_table, read_folds, write_folds


def _finish(datalist_path, k: int, seed: int, overwrite: bool) -> None:
    """Write the folds and print what was made."""
    datalist = read_datalist(datalist_path)
    folds_path = write_folds(datalist_path, k=k, seed=seed, overwrite=overwrite)
    folds = read_folds(folds_path, datalist, datalist_path)["folds"]
    print(f"{datalist_path}: {len(datalist['cases'])} pairs of {len(folds)} patients")
    print(f"{folds_path}:")
    print(balance_table(datalist, folds).to_string())
    skipped = datalist.get("skipped", [])
    if skipped:
        print(f"{len(skipped)} file(s) could not be used (all of them stand in {datalist_path} under 'skipped'):")
        print("\n".join(f"  {entry['path']}: {entry['reason']}" for entry in skipped[:10]))
        raise SystemExit(1)


def phantom(
    output: str,
    patients: int = 20,
    seed: int = 0,
    image_size: int = 512,
    num_workers: int | None = None,
    k: int = 10,
    overwrite: bool = False,
) -> None:
    """Make a small synthetic CESM study: MG DICOM pairs and NIfTI lesion maps, the same bits for the same seed.

    Args:
        output: the folder to write.
        patients: how many women; each has CC and MLO views of both breasts, and every second one has a lesion.
        seed: of anatomy, lesions and noise; also of the folds.
        image_size: height of the images in pixels.
        num_workers: threads; null uses every core. The result does not depend on it.
        k: number of folds.
        overwrite: replace a study that is already there.
    """
    from bundle.phantom.exam import write_study

    path = write_study(
        output, patients=patients, seed=seed, image_size=image_size, num_workers=num_workers, overwrite=overwrite
    )
    _finish(path, k=k, seed=seed, overwrite=overwrite)


def cdd_cesm(
    root: str,
    output: str,
    align: str = "translate",
    lesions: str = "all",
    annotations: str | None = None,
    num_workers: int | None = None,
    k: int = 10,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Turn a CDD-CESM folder, wherever its files lie, into a datalist.

    Args:
        root: the folder; images, workbook and region file are found by name at any depth.
        output: the folder to write; aligned DES images and lesion maps go to its ``images/``.
        align: none | translate | similarity, how DES (and its lesion map) is moved onto the LE grid.
        lesions: all | malignant, which lesions make up the maps.
        annotations: the folder of workbook and region file, where that is not below root.
        num_workers: processes; null uses every core.
        k: number of folds.
        seed: of the folds.
        overwrite: replace a datalist that is already there.
    """
    from bundle.data.cdd_cesm import write_cdd_cesm

    path = write_cdd_cesm(
        root,
        output,
        align=align,
        lesions=lesions,
        annotations=annotations,
        num_workers=num_workers,
        overwrite=overwrite,
    )
    _finish(path, k=k, seed=seed, overwrite=overwrite)


if __name__ == "__main__":
    try:
        fire.Fire({"phantom": phantom, "cdd_cesm": cdd_cesm})
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from None
