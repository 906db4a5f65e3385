"""Reporting checklists: their items, their results, their pages; nobody is named and nothing is overwritten."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from made_up_study import change, copy_of, row, texts, write_study

from bundle.evaluation.checklists import CHECKLISTS, fill, read_study, write_checklists
from bundle.evaluation.checklists.fill import FACTS
from bundle.evaluation.checklists.write import as_html, as_markdown
from bundle.evaluation.report.limits import limits
from scripts.report import main

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "bundle" / "evaluation" / "checklists"
HOSTILE = "CESM <b>|*x* & y"


def content(name):
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("checklists") / "RUNS")


@pytest.fixture(scope="module")
def study(root):
    return read_study(root, resamples=20)


@pytest.fixture(scope="module")
def filled(study):
    return {name: fill(name, study) for name in CHECKLISTS}


def with_tables(root, **tables):
    """The study with these tables of the report in place of its own, which take long."""
    study = read_study(root)
    vars(study)["evidence"] = {name: pd.DataFrame(rows) for name, rows in tables.items()}
    return study


class TestItems:
    def test_numbers_are_those_published(self):
        assert [item["number"] for item in content("claim_2024")["items"]] == [str(n) for n in range(1, 45)]
        parts = {
            3: "abc",
            5: "ab",
            6: "abc",
            8: "abc",
            9: "abc",
            12: "abcdefg",
            18: "abcdef",
            20: "abc",
            23: "ab",
            27: "abc",
        }
        expected = [f"{n}{part}" for n in range(1, 28) for part in parts.get(n, [""])]
        assert len(expected) == 52
        assert [item["number"] for item in content("tripod_ai")["items"]] == expected

    @pytest.mark.parametrize("name", CHECKLISTS)
    def test_every_item_says_something_to_someone(self, name):
        for item in content(name)["items"]:
            assert item["facts"] or item.get("software") or item.get("authors") or item.get("not_applicable"), item
            assert item.keys() <= {"number", "section", "item", "facts", "software", "authors", "not_applicable"}

    def test_facts_are_there_and_are_asked_for(self):
        asked = {fact for name in CHECKLISTS for item in content(name)["items"] for fact in item["facts"]}
        assert asked == set(FACTS)

    @pytest.mark.parametrize("name", CHECKLISTS)
    def test_sources_of_general_statements_exist(self, name):
        for item in content(name)["items"]:
            for text, source in item.get("software", []):
                path, _, place = re.fullmatch(r"([\w./-]+)(?:(:|,) (.+))?", source).groups()
                assert (ROOT / path).is_file(), source
                assert text.endswith("."), text
                if place:
                    there = (ROOT / path).read_text(encoding="utf-8")
                    assert all(word in there for word in re.split(r"#", place)), source

    @pytest.mark.parametrize("name", CHECKLISTS)
    def test_blank_ones_hold_what_is_true_of_the_software_alone(self, name):
        blank = fill(name)
        general = [text for item in content(name)["items"] for text, _ in item.get("software", [])]
        assert [one.text for row in blank.rows for one in row.known] == general
        assert not any(row.from_study or row.lacking for row in blank.rows)
        assert "No study was given" in as_markdown(blank)

    @pytest.mark.parametrize("name", CHECKLISTS)
    def test_what_the_software_and_a_study_say_stands_once(self, name, study, filled):
        for one in filled[name].rows:
            said = [known.text for known in one.known]
            assert len(said) == len(set(said)), one.number
        general = [known for one in fill(name).rows for known in one.known]
        of_limits = {known.text for known in general if known.source == "bundle/evaluation/report/limits.py"}
        assert len(of_limits) == 4
        assert of_limits <= set(limits(study.collection))
        shipped = "Two trained models for research come with the software."
        fixed = {"Code: seg-cyclegan-cesm, Apache License 2.0.", shipped}
        assert fixed <= {known.text for known in general}
        assert fixed <= {*texts(study, "code"), *texts(study, "weights")}

    def test_an_unknown_checklist_is_refused(self):
        with pytest.raises(ValueError, match="no checklist 'stard': expected one of claim_2024, tripod_ai"):
            fill("stard")


class TestResults:
    def test_means_are_those_of_the_patients(self, root, study):
        table = pd.concat(pd.read_csv(path) for path in sorted(root.glob("gamma_0/*/eval/metrics.csv")))
        model = table[table["model"] == "cyclegan"]
        mean = model.groupby("patient_id")["lesion_l1"].mean().mean()
        said = texts(study, "primary_result")[0]
        assert said.startswith("lesion L1 (less is better), mean over 3 patient(s), no interval (too few patients for")
        assert f"are needed): CycleGAN {mean:#.3g}; Seg-CycleGAN g=35 " in said

    def test_means_with_their_intervals(self, root):
        row = {"metric": "lesion_l1", "model": "CycleGAN", "mean": 0.12345, "low": 0.1, "high": 0.15, "patients": 42}
        other = {"model": "Seg-CycleGAN g=35", "low": float("nan"), "note": "too few"}
        study = with_tables(root, intervals=[row | {"note": ""}, row | other])
        assert texts(study, "performance") == [
            "lesion L1 (less is better), mean over 42 patient(s), 95 % interval: CycleGAN 0.123 (0.100 to 0.150); "
            "Seg-CycleGAN g=35 0.123 (no interval: too few)."
        ]

    def test_who_was_judged(self, study):
        assert texts(study, "numbers")[1] == "Judged, CycleGAN: 6 patients, 12 images, 6 with a lesion, in 3 fold(s)."
        assert "rest on 6 patients with 12 images, 6 of them with a lesion." in texts(study, "tested_size")[0]
        assert texts(study, "external")[0].startswith("None: every model was judged on the list that it was trained on")

    def test_failures_are_counted(self, root, study):
        table = pd.concat(pd.read_csv(path) for path in sorted(root.glob("gamma_35/*/eval/metrics.csv")))
        model = table[table["model"] == "seg_cyclegan"]
        missed, invented = int(model["enhancement_missed"].sum()), int((model["invented_count"] > 0).sum())
        assert (
            f"Seg-CycleGAN g=35: enhancement missed in {missed} of 6 images whose lesion enhances; enhancement "
            f"invented in {invented} of 12 images." in texts(study, "failures")
        )

    def test_floors_that_are_not_beaten_are_named(self, root):
        means = {"CycleGAN": 0.1, "Seg-CycleGAN g=35": 0.2, "DES := LE": 0.3, "constant inside the breast": 0.2}
        rows = [
            {"metric": metric, "model": model, "mean": mean if metric == "l1" else 1 - mean}
            for metric in ("l1", "ssim")
            for model, mean in means.items()
        ]
        assert texts(with_tables(root, intervals=rows), "floors") == [
            "Floors that a model does not beat in the mean of L1: constant inside the breast (Seg-CycleGAN g=35).",
            "Floors that a model does not beat in the mean of SSIM: constant inside the breast (Seg-CycleGAN g=35).",
        ]
        beaten = [one | {"mean": 0.01} if one["model"] == "Seg-CycleGAN g=35" else one for one in rows[:4]]
        assert texts(with_tables(root, intervals=beaten), "floors")[0].startswith("Every model beats DES := LE and")

    @pytest.mark.parametrize(
        ("difference", "p_not_worse", "verdict"),
        [
            (0.02, 1.0, "it rises, by more than the margin."),
            (0.0, 0.02, "not worse by more than the margin (p = 0.02)."),
            (0.004, 0.4, "that it does not rise is not shown (p = 0.4)."),
            (-0.2, 0.0001, "not worse by more than the margin (p < 0.001)."),
        ],
    )
    def test_whether_the_background_rises(self, root, difference, p_not_worse, verdict):
        row = {"model": "Seg-CycleGAN g=35", "reference": "CycleGAN", "difference": difference, "margin": 0.005}
        row |= {"low": difference - 0.002, "high": difference + 0.002, "p_not_worse": p_not_worse, "note": ""}
        assert texts(with_tables(root, equivalence=[row]), "background")[0].endswith(f"margin 0.0050: {verdict}")

    def test_a_difference_with_its_p(self, root):
        row = {"metric": "lesion_l1", "model": "Seg-CycleGAN g=35", "reference": "CycleGAN", "difference": -0.05}
        row |= {"low": -0.07, "high": -0.03, "p_holm": 0.0002, "note": ""}
        none = row | {"p_holm": float("nan"), "low": float("nan"), "note": "fewer than 6 patients differ"}
        assert texts(with_tables(root, paired=[row]), "differences") == [
            "lesion L1, model minus reference, 95 % interval, p after Holm: Seg-CycleGAN g=35 minus CycleGAN -0.0500 "
            "(-0.0700 to -0.0300), p < 0.001."
        ]
        said = texts(with_tables(root, paired=[none]), "differences")[0]
        assert said.endswith("-0.0500 (no interval: fewer than 6 patients differ), no p: fewer than 6 patients differ.")

    def test_another_list_is_external(self, root, tmp_path):
        moved = copy_of(root, tmp_path)
        change(moved / "gamma_0/fold_0/eval/evaluation.json", lambda of: of["model"].update(datalist_hash="00" * 32))
        assert texts(read_study(moved), "external")[0].startswith(
            "1 of 6 evaluations are on another list than the model's own: gamma_0/fold_0."
        )


class TestPages:
    @pytest.mark.parametrize("name", CHECKLISTS)
    def test_every_row_has_five_cells_and_every_statement_a_source(self, filled, name):
        lines = [line for line in as_markdown(filled[name]).splitlines() if re.match(r"\| \d", line)]
        assert len(lines) == len(content(name)["items"])
        assert all(len(re.findall(r"(?<!\\)\|", line)) == 6 for line in lines)
        assert all(one.source and one.text.endswith(".") for row in filled[name].rows for one in row.known)

    @pytest.mark.parametrize("name", CHECKLISTS)
    def test_neither_patients_nor_machines_are_named(self, filled, root, name):
        for text in (as_markdown(filled[name]), as_html(filled[name])):
            assert not re.search(r"P\d{3}", text)
            assert str(root.parent) not in text
            assert "/tmp" not in text

    @pytest.mark.parametrize("name", CHECKLISTS)
    def test_the_page_fetches_and_runs_nothing(self, filled, name):
        html = as_html(filled[name])
        assert "default-src 'none'" in html
        assert not re.search(r"<script|src=|href=|https?://", html)

    def test_counts(self, filled):
        for checklist in filled.values():
            counts = checklist.counts
            assert counts["items"] == sum(counts.values()) - counts["items"] == len(checklist.rows)
        assert filled["tripod_ai"].counts["not applicable"] == 2
        assert filled["claim_2024"].counts["with statements from the study"] >= 28
        assert row(filled["tripod_ai"], "24").not_applicable.startswith("The software changes no model")

    def test_a_name_is_only_a_name(self, tmp_path):
        study = with_tables(write_study(tmp_path / "RUNS", gammas=(0,), name=HOSTILE))
        checklist = fill("claim_2024", study)
        assert "CESM &lt;b&gt;|*x* &amp; y. Source" in as_html(checklist)
        assert r"CESM &lt;b>\|\*x\* &amp; y. Source" in as_markdown(checklist)

    def test_files_and_the_command(self, root, tmp_path, capsys, monkeypatch):
        folder = tmp_path / "out"
        main(["checklists", "--output", str(folder)])
        assert sorted(path.name for path in folder.iterdir()) == [
            *("claim_2024.html", "claim_2024.md", "tripod_ai.html", "tripod_ai.md")
        ]
        assert "what no software can know is for the authors" in capsys.readouterr().out
        with pytest.raises(
            FileExistsError, match=r"claim_2024.md, .*there already, perhaps with what the authors wrote"
        ):
            main(["checklists", "--output", str(folder)])
        main(["checklists", "--output", str(folder), "--overwrite"])
        monkeypatch.setattr("bundle.evaluation.checklists.write.read_study", lambda runs, resamples: with_tables(root))
        assert write_checklists([tmp_path])[0] == tmp_path / "report/checklists/claim_2024.md"

    def test_what_cannot_be_filled_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="0 folders were given: pass one, RUNS, or say with --output"):
            write_checklists()
        with pytest.raises(
            FileNotFoundError, match=r"no run.json of a training and no metrics.csv .*scripts.cross_validate"
        ):
            write_checklists([tmp_path])
        with pytest.raises(FileNotFoundError, match=r"there is no folder .*gone"):
            write_checklists([tmp_path / "gone"])
