"""``python -m scripts.benchmark phantom`` from a datalist to its tables and figures."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bundle.data.datalist import write_datalist
from bundle.phantom.realism.pairs import phantom_pairs
from scripts.benchmark import phantom

WOMEN = ("P1", "P4", "P2", "P5")  # P1 and P2 are of the part report, P4 and P5 of tune


@pytest.fixture(scope="module")
def datalist(tmp_path_factory):
    """Phantoms of another seed stand in for the real pairs."""
    folder = tmp_path_factory.mktemp("real")
    cases = []
    for number, pair in enumerate(phantom_pairs(4, seed=9, image_size=256, num_workers=1)):
        case = {"case_id": f"{WOMEN[number]}_L_CC", "patient_id": WOMEN[number], "laterality": "L", "view": "CC"}
        for key, image in (("le", pair.le), ("des", pair.des), ("seg", pair.lesion)):
            case[key] = str(folder / f"{number}_{key}.png")
            Image.fromarray(np.rint(255 * image).astype(np.uint8)).save(case[key])
        cases.append(case | {"malignant": True})
    return write_datalist(folder / "datalist.json", name="Stand-in", source="drawn", licence="CC0", cases=cases)


@pytest.mark.parametrize("classifier", [True, False])
def test_phantom_writes_tables_and_figures(datalist, tmp_path, capsys, classifier):
    output = tmp_path / "realism"
    phantom(str(datalist), output=str(output), pairs=4 if classifier else 1, classifier=classifier, num_workers=1)
    printed = capsys.readouterr().out
    assert "2 real pairs of 2 women (part 'report')" in printed
    assert "of 21 targets met" in printed or "of 22 targets met" in printed
    files = {"comparison.csv", "comparison.md", "pairs.csv", "gallery.png", "distributions.png"}
    assert {path.name for path in output.iterdir()} == files | (
        {"classifier.csv", "giveaways.csv"} if classifier else set()
    )
    table = pd.read_csv(output / "comparison.csv", index_col="quantity")
    assert list(table.index[:2]) == ["le_mean", "le_sd"]
    assert (output / "comparison.md").read_text(encoding="utf-8").strip() in printed
    if classifier:
        areas = pd.read_csv(output / "classifier.csv", index_col="input")
        assert areas["AUC per crop"].between(0, 1).all()
        assert "What gives the phantom away" in printed


def test_without_a_datalist_it_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"--datalist is missing.*python -m scripts.prepare cdd_cesm"):
        phantom()


def test_the_default_is_cdd_cesm_where_the_readme_makes_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "cdd_cesm").mkdir(parents=True)
    (tmp_path / "data" / "cdd_cesm" / "datalist.json").write_text("{}")
    with pytest.raises(ValueError, match=r"datalist\.json"):  # found, and refused for what it holds
        phantom(num_workers=1)
