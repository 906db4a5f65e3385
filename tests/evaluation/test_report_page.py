"""The page itself: what it says, what it may do, and that a name is only ever a name."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from made_up_runs import write_runs

from bundle.evaluation.report import exhibits, write_report
from bundle.evaluation.report.page import inline_json, words
from scripts.report import main

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>".replace("/", "%")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("page") / "RUNS"
    return write_runs(root, size=32, gammas=(0, 35), datalist="CESM phantom <b>", names={"P000_L_CC": HOSTILE})


@pytest.fixture(scope="module")
def page(runs):
    return write_report(runs, resamples=20)


@pytest.fixture
def known_evidence(runs, page, monkeypatch):
    """The tables of the page above again, which take the longest."""
    found = {path.stem: pd.read_csv(path) for path in sorted((page.parent / "tables").glob("*.csv"))}
    monkeypatch.setattr(exhibits, "evidence", lambda *args, **kwargs: found)


@pytest.fixture(scope="module")
def html(page):
    return page.read_text(encoding="utf-8")


def block(html, name):
    return json.loads(re.search(f'<script type="application/json" id="{name}">(.*?)</script>', html, re.S)[1])


class TestPage:
    def test_where_it_lies(self, runs, page):
        assert page == runs / "report" / "report.html"
        tables = {path.name for path in (page.parent / "tables").iterdir()}
        assert {"paper.csv", "paper.md", "paper.tex", "lesion.csv", "paired.csv", "folds.csv"} <= tables
        assert {"gamma.svg", "median_triple.svg", "worst_errors.svg"} <= {
            p.name for p in (page.parent / "figures").iterdir()
        }
        assert not list(page.parent.rglob(".*"))

    def test_it_says_what_it_must(self, html):
        for text in (
            "The data come from a phantom, not from patients.",
            "not for diagnosis",
            "Seg-CycleGAN g=35",
            "constant inside the breast",
            "ab" * 8,
            "3.11.7",
            "patients in 3 fold(s)",
            "Values that no average holds",
            "What the numbers mean",
            "The models: 32 px, generator width 4, 2 residual blocks",
            "90 % t low",
            "generator num_blocks",
        ):
            assert text in html
        assert "/tmp" not in html.replace(str(Path.cwd()), "")

    def test_the_size_of_the_models_stands_in_every_form_of_table_i(self, page):
        texts = {suffix: (page.parent / "tables" / f"paper.{suffix}").read_text() for suffix in ("md", "tex")}
        assert "\n\nWhole image, in the layout of the paper's Table I. The models: 32 px" in texts["md"]
        assert "Table I. The models: 32 px, generator width 4" in texts["tex"].splitlines()[2]
        assert "The paper: 256 px, generator width 64, 9 residual blocks" in texts["tex"].splitlines()[2]

    def test_data_of_every_image(self, html):
        data = block(html, "data")
        assert data["models"] == ["CycleGAN", "Seg-CycleGAN g=35", "DES := LE", "constant inside the breast"]
        assert data["pictures"] == ["m0", "m1", "le", None]
        assert len(data["cases"]) == 12
        assert [case["case_id"] for case in data["cases"]].count(HOSTILE) == 1
        assert set(block(html, "images-0")) == {"le", "des", "seg", "m0", "m1"}
        assert all(len(values) == len(data["columns"]) for case in data["cases"] for values in case["values"])

    def test_only_its_own_script_runs(self, html):
        scripts = re.findall(r"<script>(.*?)</script>", html, re.S)
        assert len(scripts) == 1
        digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
        assert f"default-src &#39;none&#39;; script-src &#39;sha256-{digest}&#39;" in html
        assert "http://" not in html.replace("http://www.w3.org", "")
        assert "https://" not in html

    def test_a_name_is_only_a_name(self, html):
        assert "<img src=x" not in html
        assert "alert(1)</" not in html
        assert "CESM phantom <b>" not in html
        assert "CESM phantom &lt;b&gt;" in html

    def test_json_cannot_leave_its_element(self):
        text = inline_json({"a": "</script>\u2028"})
        assert "<" not in text
        assert json.loads(text) == {"a": "</script>\u2028"}

    def test_same_runs_same_bytes(self, runs, known_evidence, tmp_path):
        first, second = (write_report(runs, tmp_path / name) for name in ("a.html", "b.html"))
        assert first.read_bytes() == second.read_bytes()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]

    def test_words(self):
        assert [words(name) for name in ("lesion_l1", "psnr", "p_holm")] == ["lesion L1", "PSNR", "p holm"]


class TestWriting:
    def test_nothing_is_overwritten_unasked(self, runs, page):
        with pytest.raises(
            FileExistsError, match=r"report.html exists already. Choose another --output, or pass --overw"
        ):
            write_report(runs)

    def test_several_folders_need_an_output(self, runs):
        with pytest.raises(ValueError, match="2 folders were given: say with --output"):
            write_report([runs / "gamma_0", runs / "gamma_35"])

    def test_without_images_it_says_so(self, known_evidence, tmp_path):
        runs = write_runs(tmp_path / "RUNS", size=32, gammas=(0, 35), images=False)
        html = write_report(runs).read_text(encoding="utf-8")
        assert "kept no images: evaluate it again with --keep_images True" in html
        assert block(html, "data")["pictures"] == [None] * 4

    def test_tables_stand_beside_bad_pictures(self, known_evidence, tmp_path):
        runs = write_runs(tmp_path / "RUNS", patients=6, size=32, gammas=(0, 35))
        for path in runs.rglob("*_des.png"):
            path.write_bytes(b"broken")
        html = write_report(runs).read_text(encoding="utf-8")
        assert "36 file(s) could not be read" in html
        assert "Table I" in html


class TestCommand:
    def test_a_report(self, runs, known_evidence, tmp_path, capsys):
        main([str(runs), "--output", str(tmp_path / "7.html")])
        assert "7.html: " in capsys.readouterr().out
        with pytest.raises(FileExistsError):
            main([str(runs), "--output", str(tmp_path / "7.html")])
        main([str(runs), "--output", str(tmp_path / "7.html"), "--overwrite"])

    def test_a_study(self, runs, tmp_path, capsys):
        main([str(runs), "--output", str(tmp_path / "study.html"), "--reader_study", "5", "--seed=3"])
        assert {path.name for path in tmp_path.iterdir()} == {"study.html", "study_key.csv"}
        assert "not for the readers" in capsys.readouterr().out

    def test_without_a_folder(self):
        with pytest.raises(ValueError, match=r"no folder was given: expected python -m scripts.report RUNS"):
            main([])
