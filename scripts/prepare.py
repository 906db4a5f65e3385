"""Data in: ``python -m scripts.prepare phantom | cdd_cesm | cesm_dicom | ucbm_nrrd`` write a datalist and its folds;
``audit`` looks through one before a training; ``deidentify`` copies DICOM files without what names a patient.
"""

from __future__ import annotations

from collections import Counter

from bundle.data.datalist import read_datalist
from bundle.data.folds import balance_table, read_folds, write_folds

from .command_line import call


def _finish(datalist_path, k: int, seed: int, overwrite: bool) -> None:
    """Write the folds and print what was made."""
    datalist = read_datalist(datalist_path)
    try:
        folds_path = write_folds(datalist_path, k=k, seed=seed, overwrite=overwrite)
    except ValueError as error:
        print(f"{datalist_path}: {len(datalist['cases'])} pairs")
        again = f"python -m scripts.folds {datalist_path} --output {datalist_path.with_name('folds.json')} --k K"
        raise SystemExit(f"There are no folds yet: {error} Make them: {again}") from None
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
    form: str = "dicom",
    maps: str | None = None,
    truth: bool = True,
    syntax: str = "explicit",
    crop: bool = True,
) -> None:
    """Make a small synthetic CESM study in any form that is read here, the same bits for the same seed.

    Args:
        output: the folder to write.
        patients: how many women; each has CC and MLO views of both breasts, and every second one has a lesion.
        seed: of anatomy, lesions and noise; also of the folds.
        image_size: height of the images in pixels.
        num_workers: threads; null uses every core. The result does not depend on it.
        k: number of folds.
        overwrite: replace a study that is already there.
        form: dicom | dicomdir | cdd_cesm | ucbm_nrrd | png | nifti, how the images lie on disk.
        maps: nifti | seg_nrrd | nrrd | png | dicom_seg, the form of lesion maps; null for what is usual in the form.
        truth: write the true maps of iodine, thickness and gland, and the table of lesions, to truth/.
        syntax: explicit | implicit | jpeg_lossless | jpeg_ls | jpeg2000 | rle, of the DICOM images.
        crop: crop the images of cdd_cesm as by hand, LE and DES a little differently; --nocrop leaves them whole.
    """
    from bundle.phantom.exam import write_study

    path = write_study(
        output,
        patients=patients,
        seed=seed,
        image_size=image_size,
        num_workers=num_workers,
        overwrite=overwrite,
        form=form,
        maps=maps,
        truth=truth,
        syntax=syntax,
        crop=crop,
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


def cesm_dicom(
    root: str,
    output: str,
    masks: str | None = None,
    overrides: str | None = None,
    vendors: str | None = None,
    align: str = "none",
    keep_ids: bool = False,
    salt: str | None = None,
    name: str = "CESM exams",
    licence: str = "internal",
    max_gap: float = 600.0,
    num_workers: int | None = None,
    k: int = 10,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Turn DICOM exams, as media with a DICOMDIR or as plain folders, into a datalist; nothing is dropped in silence.

    Args:
        root: the folder; every file is opened, whatever its name.
        output: the folder to write: datalist.json, exams.csv (a row an object), skipped.csv (path, reason), folds.json.
        masks: folder of lesion maps (.seg.nrrd, .nrrd, NIfTI, PNG, DICOM SEG); may be root itself.
        overrides: CSV of path, taken_for (LE | DES | HE | other), laterality, view, partner; settles what is unknown.
        vendors: JSON of more patterns, in the form of bundle/dicom/vendors.json.
        align: none | translate | similarity, how DES (and its lesion map) is moved onto the LE grid.
        keep_ids: name patients by their Patient ID instead of a hash.
        salt: secret that goes into the hash, so that nobody can try out all IDs; null for none.
        name: of the study, in the datalist.
        licence: of the study, in the datalist.
        max_gap: seconds between LE and DES above which they are no pair.
        num_workers: processes; null uses every core.
        k: number of folds.
        seed: of the folds.
        overwrite: replace lists that are already there.
    """
    from bundle.data.cesm_dicom import write_cesm_dicom

    summary = write_cesm_dicom(
        root,
        output,
        masks=masks,
        overrides=overrides,
        vendors=vendors,
        align=align,
        keep_ids=keep_ids,
        salt=salt,
        name=name,
        licence=licence,
        max_gap=max_gap,
        num_workers=num_workers,
        overwrite=overwrite,
    )
    try:
        if summary.datalist is None:
            raise SystemExit("No LE / DES pair was found, so no datalist is written: skipped.csv says why.")
        _finish(summary.datalist, k=k, seed=seed, overwrite=overwrite)
    finally:
        print("\n".join(summary.lines))
    if summary.attention:
        raise SystemExit(1)


def ucbm_nrrd(
    root: str,
    output: str,
    masks: str | None = None,
    num_workers: int | None = None,
    k: int = 10,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Turn the research form of CESM@UCBM (NRRD pairs, index files with windows) into a datalist.

    Args:
        root: the folder; images and index files are found by name at any depth.
        output: the folder to write; lesion maps go to its ``images/``.
        masks: folder of lesion maps, where that is not a folder ``masks`` below root.
        num_workers: processes; null uses every core.
        k: number of folds.
        seed: of the folds.
        overwrite: replace a datalist that is already there.
    """
    from bundle.data.ucbm_nrrd import write_ucbm_nrrd

    path = write_ucbm_nrrd(root, output, masks=masks, num_workers=num_workers, overwrite=overwrite)
    _finish(path, k=k, seed=seed, overwrite=overwrite)


def deidentify(
    root: str,
    output: str,
    salt: str | None = None,
    vendors: str | None = None,
    num_workers: int | None = None,
    overwrite: bool = False,
) -> None:
    """Copy the DICOM images of a folder without what names a patient, by the basic profile of PS3.15.

    Args:
        root: the folder.
        output: the folder to write: <pseudonym>/<study>/<object>.dcm. Beside it, <output>_deidentified.csv names the
            originals: keep it where they are kept.
        salt: secret of the pseudonyms and new UIDs; the same one gives the same ones. Null draws one that is forgotten.
        vendors: JSON of more patterns, in the form of bundle/dicom/vendors.json.
        num_workers: processes; null uses every core.
        overwrite: replace what an earlier run with the same salt wrote.
    """
    from bundle.data.deidentified_folder import deidentify_folder

    rows = deidentify_folder(root, output, salt=salt, num_workers=num_workers, overwrite=overwrite, vendors=vendors)
    counts = Counter(row.state for row in rows)
    counted = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    print(f"{output.rstrip('/')}_deidentified.csv (it names the originals: keep it where they are): {counted}")
    for row in rows:
        if row.state in ("refused", "failed"):
            print(f"  {row.path}: {row.state}: {row.reason}")
    if counts["refused"] or counts["failed"]:
        raise SystemExit(1)


def audit(
    datalist: str,
    output: str | None = None,
    folds: str | None = None,
    image_size: int = 256,
    num_workers: int | None = None,
) -> None:
    """Look through a datalist before a training: audit.html to be read, audit.json, and exit status 1 on errors.

    Args:
        datalist: the file.
        output: folder of the page; null writes it beside the datalist.
        folds: null takes the folds.json beside the datalist, if there is one.
        image_size: of the training, at which lesions may vanish.
        num_workers: processes; null uses every core.
    """
    from bundle.data.audit import write_audit

    result = write_audit(datalist, output=output, folds=folds, image_size=image_size, num_workers=num_workers)
    print(result.summary())
    raise SystemExit(result.exit_status)


if __name__ == "__main__":
    try:
        commands = (phantom, cdd_cesm, cesm_dicom, ucbm_nrrd, audit, deidentify)
        call(*commands)
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from None
