"""A study of phantom women on disk, in any form that this bundle reads, with its truth and its datalist."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from ..data.datalist import read_datalist, write_datalist
from ..keys import BatchKeys, CaseKeys
from .anatomy import Grid, Woman
from .case import VIEWS, draw_patient, exam_grid, render_case
from .forms import FORMS, PHANTOM, SYNTAXES, Form, Settings, Written
from .forms.truth import lesion_rows, write_lesion_table, write_true_maps

__all__ = ["exam_grid", "write_study"]

logger = logging.getLogger(__name__)

RENDERING_BYTES = 200  # a pixel that is being drawn takes: 1.3 GiB at 2850 x 2396
RENDERING_MEMORY = 1.5 * 2**30  # of all threads, so that a process stays below 2 GiB


class _Job(NamedTuple):
    """One case to be drawn and written."""

    root: Path
    form: Form
    settings: Settings
    patient: int
    woman: Woman
    laterality: str
    view: str
    grid: Grid
    truth: bool


def _write_case(job: _Job) -> tuple[Written, list[dict[str, Any]]]:
    """Draw and write one case and its truth; returns its entry, and its rows of the lesion table."""
    case = render_case(job.settings.seed, job.patient, job.woman, job.laterality, job.view, job.grid)
    written = job.form.write_case(job.root, case, job.settings)
    if job.truth:
        written.entry["truth"] = f"truth/{written.entry[CaseKeys.CASE_ID]}.npz"
        write_true_maps(job.root / written.entry["truth"], case)
    return written, lesion_rows(case, written.entry)


def _threads(num_workers: int | None, grid: Grid) -> int:
    """As many as asked for, or as there are cores, while they fit into ``RENDERING_MEMORY``; one at native sizes."""
    fitting = int(RENDERING_MEMORY / (RENDERING_BYTES * grid.rows * grid.columns))
    return max(1, min(num_workers or os.cpu_count() or 1, fitting))


def _completed(read: Mapping[str, Any], entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The cases that a form's reader found, with what the phantom knows beyond the reader."""
    found = {case[CaseKeys.CASE_ID]: case for case in read["cases"]}
    cases = []
    for entry in entries:
        case = found.get(entry[CaseKeys.CASE_ID])
        if case is None:
            logger.warning(f"the reader of this form took no pair for {entry[CaseKeys.CASE_ID]}")
            continue
        if entry["lesions"] and not case[BatchKeys.SEG]:
            logger.warning(f"the reader of this form took no lesion map for {entry[CaseKeys.CASE_ID]}")
        cases.append({**case, **{key: value for key, value in entry.items() if case.get(key) is None}})
    return cases


def _is_phantom(folder: Path) -> bool:
    """Whether a folder holds a study made here, the only thing that may be replaced."""
    return (folder / "datalist.json").is_file() and "phantom" in read_datalist(folder / "datalist.json")


def _settings(
    form: str, maps: str | None, syntax: str, crop: bool, seed: int, image_size: int, num_workers: int | None
) -> Settings:
    """The settings of a form, once they are known to go together."""
    for what, value, known in (("form", form, FORMS), ("syntax", syntax, SYNTAXES)):
        if value not in known:
            raise ValueError(f"{what} is {value!r}, expected one of {', '.join(known)}.")
    fitting = FORMS[form].maps
    if maps is not None and not fitting:
        raise ValueError(f"maps is {maps!r}, but the form {form} draws lesions as regions of its own. Leave maps out.")
    if maps is not None and maps not in fitting:
        raise ValueError(f"maps is {maps!r}, expected one of {', '.join(fitting)} for the form {form}.")
    if syntax != "explicit" and not FORMS[form].dicom:
        raise ValueError(f"syntax is {syntax!r}, but the form {form} holds no DICOM images. Leave syntax out.")
    return Settings(seed, image_size, maps or next(iter(fitting), ""), syntax, crop, num_workers)


def write_study(
    output: str | os.PathLike,
    patients: int = 20,
    seed: int = 0,
    image_size: int = 512,
    num_workers: int | None = None,
    overwrite: bool = False,
    form: str = "dicom",
    maps: str | None = None,
    truth: bool = True,
    syntax: str = "explicit",
    crop: bool = True,
) -> Path:
    """Write a study of phantom women, each with CC and MLO views of both breasts; every second one has a lesion.

    The study is built beside its place and moved there whole, so that a killed run leaves nothing that looks like one.

    ===========  ====================================================================  =========================
    form         images                                                                datalist by
    ===========  ====================================================================  =========================
    dicom        ``PH0001/PH0001_L_CC_LE.dcm``, ``_DES.dcm``, ``_HE.dcm``              this function
    dicomdir     ``medium/``, a DICOMDIR; its lesion maps in ``maps/``                 ``write_cesm_dicom``
    cdd_cesm     ``CDD-CESM/``, 8-bit JPEG cropped by hand, workbook, drawn regions    ``write_cdd_cesm``
    ucbm_nrrd    ``CESM@UCBM/``, NRRD, index texts, lesion maps in ``masks/``          ``write_ucbm_nrrd``
    png, nifti   ``PH0001/PH0001_L_CC_LE.png`` or ``.nii.gz``, and so on               this function
    ===========  ====================================================================  =========================

    Args:
        output: the folder to make.
        patients: number of women; more of them leave the earlier ones as they are.
        seed: of anatomy, lesions and noise, 0 or more.
        image_size: rows of the images; columns and pixel spacing follow from the detector, see :func:`exam_grid`.
        num_workers: threads (NumPy and SciPy let them run side by side), and processes of a form's reader; None for
            every core. Fewer threads draw where they would not fit into 2 GiB. No file depends on it.
        overwrite: replace a phantom study that is already there.
        form: how the images lie on disk, see above.
        maps: nifti | seg_nrrd | nrrd | png | dicom_seg, the form of lesion maps; None for what is usual in the form.
        truth: write ``truth/<case_id>.npz`` (see :func:`bundle.phantom.forms.truth.true_maps`) and
            ``truth/lesions.csv``.
        syntax: of the DICOM images, explicit | implicit | jpeg_lossless | jpeg_ls | jpeg2000 | rle; all without loss.
        crop: crop the images of the form cdd_cesm to the breast, LE and DES a little differently, as by hand.

    Returns:
        the path of ``datalist.json``, whose cases also name ``density`` (ACR class), ``lesions`` (type, malignant,
        enhancing, diameter_mm), and, where they were written, ``truth`` and ``he``.

    Raises:
        ValueError: for numbers that make no study, and for options that do not go together.
        FileExistsError: when there is a study and ``overwrite`` is false, or the folder holds something else.
    """
    output = Path(output)
    for what, value, least in (("patients", patients, 1), ("seed", seed, 0), ("image_size", image_size, 64)):
        if value < least:
            raise ValueError(f"{what} is {value}, expected {least} or more.")
    settings = _settings(form, maps, syntax, crop, seed, image_size, num_workers)
    if output.exists() and (output.is_file() or any(output.iterdir())):
        if not _is_phantom(output):
            raise FileExistsError(f"{output} holds something else than a phantom study. Choose another --output.")
        if not overwrite:
            raise FileExistsError(f"{output} holds a study already. Choose another --output, or pass --overwrite.")

    grid = exam_grid(image_size)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as beside:
        root = Path(beside, "study")
        root.mkdir()
        jobs = []
        for patient in range(1, patients + 1):
            woman = draw_patient(seed, patient)
            jobs += [_Job(root, FORMS[form], settings, patient, woman, *view, grid, truth) for view in VIEWS]
        with ThreadPoolExecutor(_threads(num_workers, grid)) as pool:
            done = pool.map(_write_case, jobs)
            written = list(tqdm(done, total=len(jobs), desc="phantom", unit="pair"))
        if truth:
            write_lesion_table(root / "truth" / "lesions.csv", [row for _, rows in written for row in rows])
        cases, extra = [case.entry for case, _ in written], {}
        if read_back := FORMS[form].read_back:
            read = read_back(root, [case for case, _ in written], settings)
            cases = _completed(read, cases)
            extra = {key: value for key, value in read.items() if key not in ("name", "source", "licence", "cases")}
        write_datalist(
            root / "datalist.json",
            name="CESM phantom",
            source=PHANTOM,
            licence="Apache-2.0",
            cases=cases,
            overwrite=True,
            **extra,
            phantom={"patients": patients, "seed": seed, "image_size": image_size},
            form=form,
        )
        if output.exists():
            output.rename(Path(beside, "replaced"))
        root.rename(output)
    return output / "datalist.json"
