"""A blinded reader study as one page: which of two is the real DES, and how good is each; the truth stays outside."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ...data.whole_files import beside, write_table
from .collect import Collection, collect
from .page import fill_template, inline_json
from .pictures import encode_all

__all__ = ["KEY_COLUMNS", "SCALES", "ReaderStudy", "draw_pairs", "write_reader_study"]

# question -> what 1 and 5 mean; more is better in each
SCALES = {
    "quality": ("Diagnostic quality", "1 useless", "5 excellent"),
    "lesion": ("Lesion visible", "1 hardly", "5 clearly; – where you see none"),
    "artefacts": ("Free of artefacts", "1 severe artefacts", "5 none"),
}
KEY_COLUMNS = ("study", "trial", "order", "real", "case_id", "patient_id", "model", "has_seg", "seed")
REAL = "des"


class ReaderStudy(NamedTuple):
    """The page for the readers, and the key that they must not see."""

    page: Path
    key: Path


def draw_pairs(collection: Collection, count: int, seed: int) -> list[dict[str, Any]]:
    """Random pairs (image, model) and the side of the real DES.

    Every image is drawn once before one is drawn again, then with another model; models take turns, so that each has
    its share; the side is tossed for each pair alone.

    Raises:
        ValueError: when there are fewer pairs than asked for.
    """
    models = collection.trained
    whole = [
        case_id
        for case_id, files in collection.images.items()
        if REAL in files and all(model in files for model in models)
    ]
    if not 1 <= count <= len(whole) * len(models):
        kept = "" if whole else " Images are kept where --keep_images True was passed to the evaluation."
        raise ValueError(
            f"a reader study of {count} pairs was asked for; {len(whole)} images with the real DES and all of "
            f"{len(models)} model(s) give 1 to {len(whole) * len(models)}.{kept}"
        )
    generator = np.random.default_rng(seed)
    cases = [whole[place] for place in generator.permutation(len(whole))]
    first = generator.permutation(len(models))
    facts = collection.table.drop_duplicates("case_id").set_index("case_id")
    pairs = []
    for place in range(count):
        turn, at = divmod(place, len(cases))
        case_id = cases[at]
        pairs.append(
            {
                "trial": generator.bytes(6).hex(),
                "order": place + 1,
                "real": "left" if generator.integers(2) else "right",
                "case_id": case_id,
                "patient_id": facts.at[case_id, "patient_id"],
                "model": models[int(first[(at + turn) % len(models)])],
                "has_seg": bool(facts.at[case_id, "has_seg"]),
                "seed": seed,
            }
        )
    return pairs


def write_reader_study(
    runs: str | os.PathLike | Sequence[str | os.PathLike] | Collection,
    count: int,
    page: str | os.PathLike,
    seed: int = 0,
    overwrite: bool = False,
) -> ReaderStudy:
    """Write ``page`` for the readers and, beside it, ``<page>_key.csv`` with the truth.

    The page holds opaque ids and pictures without a name, the real and the virtual one encoded alike; case, model and
    side stand in the key alone. Hand out the page, keep the key. Each reader gets the pairs in an order that follows
    from study and name, so that readers do not tire at the same pairs; ``order`` of the key is that of the file.

    Raises:
        FileExistsError: when a page or a key is there already: without its key a study under way is lost.
    """
    collection = runs if isinstance(runs, Collection) else collect(runs)
    page = Path(page)
    key = page.with_name(f"{page.stem}_key.csv")
    there = [str(path) for path in (page, key) if path.exists()]
    if there and not overwrite:
        raise FileExistsError(
            f"{', '.join(there)}: there already. Answers to a study are worth nothing without its own key: choose "
            "another --output, or pass --overwrite."
        )
    pairs = draw_pairs(collection, count, seed)
    study = hashlib.sha256(json.dumps(pairs, sort_keys=True).encode()).hexdigest()[:16]
    rows = pd.DataFrame([{"study": study, **pair} for pair in pairs])[list(KEY_COLUMNS)]
    html = _render(collection, pairs, study)
    write_table(rows, key)
    with beside(page) as place:
        place.write_text(html, encoding="utf-8")
    return ReaderStudy(page, key)


def _render(collection: Collection, pairs: Sequence[Mapping[str, Any]], study: str) -> str:
    files = {}
    for pair in pairs:
        of_case = collection.images[pair["case_id"]]
        sides = {"left": of_case[REAL], "right": of_case[pair["model"]]}
        files[pair["trial"]] = sides if pair["real"] == "left" else {"left": sides["right"], "right": sides["left"]}
    pictures = encode_all(files)
    if pictures.unreadable:
        raise ValueError(
            "\n".join([*pictures.unreadable, "Evaluate again with --keep_images True, or draw fewer pairs."])
        )
    return fill_template(
        "reader.html.j2",
        ("panels.js", "reader.js"),
        study=study,
        count=len(pairs),
        scales=SCALES,
        data=inline_json(
            {
                "study": study,
                "mime": pictures.mime,
                "scales": list(SCALES),
                "trials": [pair["trial"] for pair in pairs],
            }
        ),
        blocks=[inline_json(pictures.texts[pair["trial"]]) for pair in pairs],
    )
