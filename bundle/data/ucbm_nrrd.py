"""From the research form of CESM@UCBM to a datalist: NRRD pairs, windows from index files, lesion maps.

Images are named ``P<patient>_<number>_<side><view>_LOW_ENERGY.nrrd`` and ``..._RECOMBINED.nrrd`` and lie anywhere.
Index files are texts with the columns img_x, img_y (LE, DES), wc_x, ww_x, wc_y, ww_y (their windows), perhaps r_l (the
side) and others. Side and view are no key: one woman may have several pairs of one projection.
"""

from __future__ import annotations

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..keys import BatchKeys, CaseKeys, MetaKeys
from .cdd_cesm_pairs import skip
from .datalist import VIEWS, write_datalist
from .exam_cases import told
from .exam_files import walk
from .image_check import image_problem, map_problem
from .images import read_image
from .isolation import Failure, work_apart
from .map_files import is_map_file, read_map
from .ucbm_index import IndexRow, read_index
from .ucbm_names import IMAGE, MAP, PairName, is_image_name, parse_name
from .whole_files import write_image

__all__ = ["write_ucbm_nrrd"]

logger = logging.getLogger(__name__)


class Pair(NamedTuple):
    """All that one process needs to know of one pair."""

    case_id: str
    name: PairName
    le: Path
    des: Path
    row: IndexRow | None
    maps: tuple[Path, ...]


def _find(
    root: Path, masks: Path | None, output: Path
) -> tuple[dict[tuple[PairName, str], Path], list[Path], list[Path], list[dict[str, str]]]:
    """Images by pair and kind, texts, lesion maps, and every other file with the reason why it is not used."""
    images: dict[tuple[PairName, str], list[Path]] = defaultdict(list)
    texts, maps, skipped = [], [], []
    closed: list[OSError] = []
    for path in walk(root, [output, masks], closed.append):
        name = path.name.lower()
        if reason := _unusable(path, root):
            skipped.append(_skip(path, reason))
        elif "masks" in map(str.lower, path.relative_to(root).parts[:-1]) or name.endswith(".seg.nrrd"):
            maps.append(path)
        elif name.endswith((".txt", ".csv", ".tsv")):
            texts.append(path)
        elif not name.endswith(".nrrd"):
            skipped.append(_skip(path, "it is neither an image (.nrrd) nor an index file (.txt, .csv, .tsv)"))
        elif (found := parse_name(IMAGE, path.name)) is None:
            reason = "its name is not P<patient>_<number>_<side><view>_<LOW_ENERGY|RECOMBINED>.nrrd"
            skipped.append(_skip(path, reason))
        else:
            images[found].append(path)
    doubles = [" and ".join(map(str, paths)) for _, paths in sorted(images.items()) if len(paths) > 1]
    if doubles:
        raise ValueError(
            f"{root} holds {len(doubles)} image(s) more than once. Keep one of each:\n  " + "\n  ".join(doubles)
        )
    if masks is not None:
        for path in walk(masks, [output], closed.append):
            if reason := _unusable(path, masks):
                skipped.append(_skip(path, reason))
            else:
                maps.append(path)
    skipped += [_skip(error.filename, f"the folder cannot be listed ({error.strerror})") for error in closed]
    return {name: paths[0] for name, paths in images.items()}, texts, maps, skipped


def _unusable(path: Path, root: Path) -> str:
    """Why no use is made of a file whatever it holds; "" for any other one."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8, so no list can name it: rename it"
    if any(part.lower().startswith((".", "~$", "__macosx")) for part in path.relative_to(root).parts):
        return "it is a hidden file, or lies in a hidden folder"
    if not path.is_file():
        return "it is a link that leads nowhere, or no file that can be read"
    return ""


def _skip(path: str | Path, reason: str) -> dict[str, str]:
    """As :func:`skip`, with a ``?`` where a name is not UTF-8, so that the list can be written."""
    return skip(os.fsencode(path).decode("utf-8", "replace"), reason)


def _make_pairs(
    images: Mapping[tuple[PairName, str], Path], index: Mapping[PairName, IndexRow], maps: Sequence[Path]
) -> tuple[list[Pair], list[dict[str, str]]]:
    """Complete pairs in the order of their names, and what found no place."""
    pairs, skipped = [], []
    drawn: dict[PairName, list[Path]] = defaultdict(list)
    for path in maps:
        found = parse_name(MAP, path.name)
        if is_image_name(path.name):
            reason = "it is named as an image, expected a map: P<patient>_<number>_<side><view>.seg.nrrd or alike"
            skipped.append(skip(path, reason))
        elif found is None or not is_map_file(path):
            skipped.append(skip(path, "it is no lesion map named P<patient>_<number>_<side><view>.seg.nrrd or alike"))
        else:
            drawn[found[0]].append(path)
    taken: Counter[tuple[int, str, str]] = Counter()
    for name in sorted({each for each, _ in images}):
        le, des, row = images.get((name, "LOW_ENERGY")), images.get((name, "RECOMBINED")), index.get(name)
        both = [path for path in (le, des) if path is not None]
        wrong = ""
        if name.view not in VIEWS:
            wrong = f"its view is {name.view}, expected one of {', '.join(VIEWS)}"
        elif le is None or des is None:
            wrong = f"no {'LOW_ENERGY' if le is None else 'RECOMBINED'} image of {name} was found"
        elif row is not None and row.laterality not in ("", name.laterality):
            wrong = f"its name says side {name.laterality}, {row.place} says {row.laterality}; correct one of them"
        if wrong or le is None or des is None:
            skipped += [skip(path, wrong) for path in both]
            continue
        key = (name.patient, name.laterality, name.view)
        taken[key] += 1
        case_id = f"P{name.patient}_{name.laterality}_{name.view}" + (f"_{taken[key]}" if taken[key] > 1 else "")
        pairs.append(Pair(case_id, name, le, des, row, tuple(drawn[name])))
    known = {pair.name for pair in pairs}
    skipped += [
        skip(path, "a lesion map without its pair") for name in sorted(drawn.keys() - known) for path in drawn[name]
    ]
    return pairs, skipped


def _process(pair: Pair, images: Path) -> tuple[dict[str, Any] | None, list[dict[str, str]]]:
    """The case of one pair, its lesion map written, and what could not be used."""
    pixels, spacings = {}, []
    windows = {} if pair.row is None else {pair.le: pair.row.le_window, pair.des: pair.row.des_window}
    for path in (pair.le, pair.des):
        try:
            pixels[path], meta = read_image(path)
            center, width = windows.get(path, (float("nan"), float("nan")))
            wrong = image_problem(pixels[path], {MetaKeys.WINDOW_CENTER: center, MetaKeys.WINDOW_WIDTH: width})
        except (ValueError, OSError) as error:
            wrong = told(error, path)
        if wrong:
            other = pair.des if path == pair.le else pair.le
            return None, [skip(path, wrong), skip(other, f"its partner cannot be used: {path.name}")]
        spacings.append(meta[MetaKeys.PIXEL_SPACING])
    le, des = pixels[pair.le], pixels[pair.des]
    if le.shape != des.shape:
        (le_rows, le_columns), (rows, columns) = le.shape, des.shape
        wrong = f"LE is {le_columns} x {le_rows}, DES {columns} x {rows} pixels, expected one size"
        return None, [skip(path, wrong) for path in (pair.le, pair.des)]
    seg, skipped = np.zeros(le.shape, bool), []
    for path in pair.maps:
        try:
            lesion = read_map(path, (le.shape[0], le.shape[1]), [step for step in spacings if not np.isnan(step).any()])
            wrong = map_problem(le, lesion)
        except (ValueError, OSError) as error:
            wrong = told(error, path)
        if wrong:
            skipped.append(skip(path, f"the lesion map of {pair.case_id} is not used: {wrong}"))
        else:
            seg |= lesion
    case: dict[str, Any] = {
        CaseKeys.CASE_ID: pair.case_id,
        CaseKeys.PATIENT_ID: f"P{pair.name.patient}",
        CaseKeys.LATERALITY: pair.name.laterality,
        CaseKeys.VIEW: pair.name.view,
        CaseKeys.MALIGNANT: None,
        "number": pair.name.number,
        BatchKeys.LE: str(pair.le),
        BatchKeys.DES: str(pair.des),
        BatchKeys.SEG: str(write_image(images, f"{pair.case_id}_seg", seg)) if seg.any() else None,
    }
    if pair.row is not None:
        case |= {"le_window": list(pair.row.le_window), "des_window": list(pair.row.des_window)}
    return case, skipped


def write_ucbm_nrrd(
    root: str | os.PathLike,
    output: str | os.PathLike,
    masks: str | os.PathLike | None = None,
    num_workers: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the datalist of a CESM@UCBM folder, with the lesion maps under ``output/images``.

    ``le`` and ``des`` point to the original files, ``le_window`` and ``des_window`` (centre, width) are those of the
    index files. Pairs of one woman, side and view are told apart by ``_2``, ``_3`` ... in the order of their
    ``number``. Several maps of a pair are joined. Every file that is not used stands under ``skipped`` with its reason.

    Args:
        root: the folder; images and index files are found at any depth, and so are maps that lie in folders named
            ``masks`` or end in ``.seg.nrrd``.
        output: the folder to write; it is not searched when it lies inside ``root``.
        masks: a folder of lesion maps elsewhere, named as the pair or its DES image, in any form of
            :func:`bundle.data.map_files.read_map`; a ``.nrrd`` with the very name of an image is no map.
        num_workers: processes; None for every core. The result does not depend on it.
        overwrite: replace a datalist that is already there.

    Returns:
        the path of ``datalist.json``.

    Raises:
        FileExistsError: when the datalist exists and ``overwrite`` is false.
        FileNotFoundError: when there is no such folder, or no pair in it.
        ValueError: for images that lie in several places, or with everything that is wrong with the index files.
    """
    root, output = Path(root).resolve(), Path(output).resolve()
    masks = Path(masks).resolve() if masks is not None and Path(masks).resolve() != root else None
    datalist_path = output / "datalist.json"
    if datalist_path.exists() and not overwrite:
        raise FileExistsError(f"{datalist_path} exists already. Choose another --output, or pass --overwrite.")
    for folder, content in ((root, "the NRRD files of CESM@UCBM"), (masks, "the lesion maps")):
        if folder is not None and not folder.is_dir():
            raise FileNotFoundError(f"There is no folder {folder}. Expected {content}.")
    images, texts, maps, skipped = _find(root, masks, output)
    index, others = read_index(texts)
    skipped += [skip(path, reason) for path, reason in others]
    pairs, more = _make_pairs(images, index, maps)
    skipped += more
    cases = []
    work = partial(_process, images=output / "images")
    results = work_apart(work, pairs, num_workers, description="CESM@UCBM", unit="pair")
    for pair, result in zip(pairs, results, strict=True):
        if isinstance(result, Failure):
            wrong = f"the pair cannot be read: {result.reason}"
            result = (None, [skip(path, wrong) for path in (pair.le, pair.des)])
        cases += [result[0]] if result[0] is not None else []
        skipped += result[1]
    if not cases:
        raise FileNotFoundError(
            f"{root} holds no LE / DES pair that can be used: {len(images)} NRRD file(s) are named "
            "P<patient>_<number>_<side><view>_<LOW_ENERGY|RECOMBINED>, of which "
            f"{len(pairs)} pair(s) are complete." + "".join(f"\n  {entry['reason']}" for entry in skipped[:5])
        )
    bare = [case[CaseKeys.CASE_ID] for case in cases if "le_window" not in case]
    absent = sorted(str(name) for name in index.keys() - {name for name, _ in images})
    for names, what in ((bare, "pair(s) have no index row and so no window"), (absent, "index row(s) have no image")):
        if names:
            logger.warning("%d %s: %s.", len(names), what, ", ".join(names))
    if skipped:
        logger.warning("%d file(s) were skipped; the datalist's 'skipped' gives the reasons.", len(skipped))
    return write_datalist(
        datalist_path,
        name="CESM@UCBM",
        source="CESM@UCBM, research form (NRRD), released on request by the authors of arXiv 2505.03018",
        licence="as agreed with the authors",
        cases=cases,
        overwrite=overwrite,
        skipped=[skip(Path(os.path.relpath(e["path"], output)).as_posix(), e["reason"]) for e in skipped],
        without_window=bare,
    )
