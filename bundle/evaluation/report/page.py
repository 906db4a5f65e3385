"""A report as one HTML file: no request leaves it, and its own script is the only one that may run."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from ..tables import FLOORS
from .collect import Collection, columns_of, to_json_number
from .exhibits import Exhibit
from .limits import left_out, limits
from .meaning import meaning
from .pictures import Pictures
from .provenance import data_files, inconsistencies, runs_table, settings_table, versions_table

__all__ = ["figure_svg", "fill_template", "render_report"]

# columns of the table of all images that stand there first, with their headings
SHOWN = {
    "psnr": "PSNR [dB]",
    "ssim": "SSIM",
    "vif": "VIF",
    "mse": "MSE",
    "breast_psnr": "breast PSNR",
    "lesion_l1": "lesion L1",
    "lesion_contrast_real": "contrast, real",
    "lesion_contrast_virtual": "contrast, virtual",
    "enhancement_missed": "missed",
    "invented_count": "invented",
    "background_l1": "background L1",
}
ABBREVIATIONS = {name: name.upper() for name in ("mse", "l1", "psnr", "ssim", "vif", "cnr", "sd")}


def fill_template(name: str, scripts: Sequence[str], **values: Any) -> str:
    """A page from a template of this folder, with ``page.css`` and scripts inside it.

    Its Content-Security-Policy allows these scripts by their hash and pictures of the page itself, and nothing else: a
    text of the data that looks like a script stays a text, and nothing is fetched.
    """
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = "\n".join((folder / script).read_text(encoding="utf-8") for script in scripts)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment.get_template(name).render(
        policy=policy,
        style=Markup((folder / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        version=_version(),
        **values,
    )


def _version() -> str:
    try:
        return version("seg-cyclegan-cesm")
    except PackageNotFoundError:
        return "(not installed)"


def inline_json(content: Any) -> Markup:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def figure_svg(figure: Figure) -> str:
    """A figure as SVG, the same text for the same figure."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "report"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return buffer.getvalue()


def render_report(
    collection: Collection,
    tables: Sequence[Exhibit],
    figures: Sequence[Exhibit],
    pictures: Pictures,
) -> str:
    """HTML of a report.

    Args:
        collection: the runs.
        tables, figures: of :mod:`bundle.evaluation.report.exhibits`.
        pictures: of all images.
    """
    table = collection.table
    cases = table.drop_duplicates("case_id").sort_values(["fold", "case_id"])
    trained = table[table["model"].isin(collection.trained)]
    of_cases = trained.drop_duplicates("case_id")
    facts = [
        ("patients", of_cases["patient_id"].nunique()),
        ("images", len(of_cases)),
        ("with a lesion map", int(of_cases["has_seg"].sum())),
        ("folds", of_cases["fold"].nunique()),
        ("models and floors", len(collection.models)),
        ("runs", len(collection.runs) + len(collection.pretraining)),
    ]
    case_ids = [str(case_id) for case_id in cases["case_id"]]
    unread = pictures.unreadable
    return fill_template(
        "report.html.j2",
        ("panels.js", "viewer.js"),
        title=f"Virtual contrast on {collection.source()}",
        source=", ".join(collection.trained),
        facts=facts,
        phantom=collection.is_phantom(),
        notes=[*collection.notes, *inconsistencies(collection)],
        tables=[
            {"title": each.title, "open": each.open, "note": each.note}
            | _tabulated(each.content, each.caption, each.headings)
            for each in tables
        ],
        figures=[
            {
                "title": each.title,
                "caption": f"{each.caption} {each.note}".strip(),
                "src": _data_uri(figure_svg(each.content)),
                "width": round(130 * each.content.get_figwidth()),
            }
            for each in figures
        ],
        form=pictures.form,
        unreadable=unread,
        provenance=_provenance(collection),
        limits=limits(collection),
        meaning=meaning(collection),
        left_out=_tabulated(pd.DataFrame(left)) if (left := left_out(collection)) else None,
        data=inline_json(_data(collection, case_ids, pictures)),
        blocks=[inline_json(_renamed(pictures.texts.get(case_id, {}), collection.models)) for case_id in case_ids],
    )


def _data_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _renamed(texts: Mapping[str, str], models: Sequence[str]) -> dict[str, str]:
    """Pictures of one image by the keys of the page: ``le des seg``, and ``m<place>`` of a model."""
    return {(f"m{models.index(key)}" if key in models else key): text for key, text in texts.items()}


def _data(collection: Collection, case_ids: Sequence[str], pictures: Pictures) -> dict[str, Any]:
    """What the script of the page works with: facts and values of every image."""
    columns = columns_of(collection.table)
    kept = {key for of_case in pictures.texts.values() for key in of_case}
    le_floor = FLOORS["floor_le"]
    rows = {
        (str(row["case_id"]), row["model"]): [to_json_number(row[column]) for column in columns]
        for row in collection.table.to_dict("records")
    }
    facts = collection.table.drop_duplicates("case_id").set_index("case_id")
    return {
        "models": collection.models,
        "floors": [name for name in collection.models if name in FLOORS.values()],
        "pictures": [
            f"m{place}" if name in kept else "le" if name == le_floor and "le" in kept else None
            for place, name in enumerate(collection.models)
        ],
        "columns": columns,
        "labels": {column: SHOWN.get(column, words(column)) for column in columns},
        "shown": [column for column in SHOWN if column in columns],
        "mime": pictures.mime,
        "cases": [
            {
                "case_id": case_id,
                **{key: str(facts.at[case_id, key]) for key in ("patient_id", "laterality", "view")},
                "fold": to_json_number(facts.at[case_id, "fold"]),
                "has_seg": bool(facts.at[case_id, "has_seg"]),
                "values": [rows.get((case_id, name)) for name in collection.models],
            }
            for case_id in case_ids
        ],
    }


def _provenance(collection: Collection) -> list[dict[str, Any]]:
    folds = pd.DataFrame(
        [
            {
                "folds.json sha256": digest,
                "k": folds.get("k"),
                "seed": folds.get("seed"),
                "patients": len(folds["folds"]),
            }
            for digest, folds in data_files(collection, "folds").items()
        ]
    )
    tables = [
        ("Runs", runs_table(collection), True, "the first 16 digits of each SHA-256; stage 1 first"),
        ("Folds", folds, True, "the file as it lies beside the datalist now"),
        (
            "Settings",
            settings_table(collection),
            True,
            "of models and configs; values of different runs stand together",
        ),
        ("Versions", versions_table(collection), False, "values of different runs stand together"),
    ]
    return [
        {"title": title, "open": open_, **_tabulated(table, caption)}
        for title, table, open_, caption in tables
        if len(table)
    ]


def _tabulated(table: pd.DataFrame, caption: str = "", headings: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Columns and rows as texts; an index with a name becomes the first column."""
    if table.index.name or any(table.index.names):
        table = table.reset_index()
    table = table.loc[
        :, [not table[name].isin(["", None]).all() for name in table.columns]
    ]  # an empty note says nothing
    names = [(headings or {}).get(name) or words(name) for name in table.columns]
    shown = [name.replace("e-2", "e\u20112") for name in names]  # a hyphen that no line ends with
    called = names.index("model") if "model" in names else 0
    numeric = [pd.api.types.is_numeric_dtype(table.iloc[:, place]) for place in range(len(names))]
    return {
        "caption": caption,
        "columns": [{"name": name, "number": number} for name, number in zip(shown, numeric, strict=True)],
        "rows": [
            {
                "cells": [
                    words(value) if name == "metric" else _cell(value) for name, value in zip(names, row, strict=True)
                ],
                "floor": row[called] in FLOORS.values(),
            }
            for row in table.itertuples(index=False)
        ],
    }


def words(column: str) -> str:
    """A column's name as a reader writes it: ``lesion_l1`` is "lesion L1"."""
    return " ".join(ABBREVIATIONS.get(word, word) for word in str(column).split("_"))


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)) or value is pd.NA:
        return "–"
    if isinstance(value, float):
        return "∞" if value == math.inf else f"{value:.4g}"
    return str(value)
