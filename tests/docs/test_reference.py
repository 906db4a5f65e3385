"""The reference is the code: generated pages are compared, and what was written by hand is held against the code."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from exam_images import write_image

from bundle.data import datalist, deidentified_folder
from bundle.data.exam_objects import read_object
from bundle.data.exam_tables import exams_table
from bundle.experiments.plan import State
from bundle.handlers import CopyMonitor, FailureMonitor
from bundle.inference import exam_folder
from bundle.integrations.federated.card import federated_card
from bundle.integrations.pacs.pull import COLUMNS as PULLED
from bundle.integrations.pacs.push import COLUMNS as PUSHED
from bundle.metrics.columns import columns
from bundle.phantom.anatomy.woman import Lesion, Place
from bundle.phantom.forms.truth import IDENTITY
from scripts.reference import PAGES, reference
from scripts.reference_pages.commands import commands, commands_page, described
from scripts.reference_pages.configs import base_of, configs, configs_page, key_problems, lookup
from scripts.reference_pages.markdown import prose, table

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/reference"
DOCUMENTS = [ROOT / "README.md", *(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)]
A_LESION = Lesion("mass", True, "L", Place(30, 0, 0), diameter=9, density=1, concentration=1)
KEYS = json.loads((REFERENCE / "keys.json").read_text(encoding="utf-8"))


class TestTheGeneratedPages:
    @pytest.mark.parametrize("name", PAGES)
    def test_are_those_that_are_committed(self, name):
        text = (REFERENCE / name).read_text(encoding="utf-8")
        assert text == PAGES[name](), "write them: python -m scripts.reference"
        assert str(ROOT) not in text

    def test_check_tells_which_page_differs(self, tmp_path, capsys):
        with pytest.raises(ValueError, match=r"^configs.md, cli.md, metrics.md differ from the code. Write them: "):
            reference(str(tmp_path), check=True)
        assert list(tmp_path.iterdir()) == []
        reference(str(tmp_path))
        reference(str(tmp_path), check=True)
        assert capsys.readouterr().out.splitlines()[-1] == f"{tmp_path}: as the code"
        (tmp_path / "cli.md").write_text("stale", encoding="utf-8")
        with pytest.raises(ValueError, match=r"^cli.md differ"):
            reference(str(tmp_path), check=True)


class TestTheKeysOfTheConfigs:
    def test_each_root_key_has_an_entry_and_each_entry_a_key(self):
        assert key_problems(KEYS) == []

    def test_there_is_something_to_hold_it_against(self):
        roots = {name: {key.partition("#")[0] for key in content} for name, content in configs().items()}
        assert {"gamma", "fold", "ckpt_dir", "network_def", "training"} <= roots["train.json"]
        assert len(KEYS["train.json"].keys() & roots["train.json"]) > 50

    def test_all_that_is_wrong_is_told_at_once(self):
        broken = copy.deepcopy(KEYS)
        del broken["train.json"]["gamma"], broken["evaluate.json"]["part"]
        broken["train.json"]["gama"] = {"meaning": "a slip"}
        broken["train.json"]["fold"] = {"unit": "folds", "colour": "red"}
        broken["lost.json"] = {}
        then = "in docs/reference/keys.json, then run python -m scripts.reference."
        assert sorted(key_problems(broken)) == [
            f'configs/evaluate.json: part has no entry. Add "part": {{"meaning": ...}} to "evaluate.json" {then}',
            f'configs/train.json: gamma has no entry. Add "gamma": {{"meaning": ...}} to "train.json" {then}',
            "keys.json: lost.json names no file below configs/. Remove it.",
            "keys.json: train.json: fold has unit, colour, expected meaning, and unit or allowed where they apply.",
            "keys.json: train.json: gama names nothing in configs/train.json. Rename or remove it.",
        ]

    def test_an_overlay_stands_on_the_config_that_its_about_runs_first(self):
        assert base_of("train.json") is None
        assert base_of("evaluate.json") == "train.json"
        assert base_of("inference_dicom.json") == "inference.json"
        assert base_of("ablation/gamma_100.json") == "train.json"

    def test_an_id_reaches_into_objects_and_lists(self):
        content = {"a": [{"b": {"c": 7}}], "x#y": 1}
        assert lookup(content, "a#0#b#c") == 7
        assert lookup(content, "x#y") == 1
        for wrong in ("a#1", "a#b", "a#0#b#c#d", "z"):
            with pytest.raises(LookupError):
                lookup(content, wrong)

    def test_a_default_is_that_of_the_json_and_overlays_are_named(self):
        rows = {line.split("`")[1]: line for line in configs_page().splitlines() if line.startswith("| `")}
        assert "| `0.0002` |" in rows["learning_rate"] or "`quickstart.json`: `0.0002`" in configs_page()
        assert "`pretrain.json`: `0`" in configs_page()
        assert "Allowed: `uncompressed`, `jpeg2000`, `jpegls`" in rows["transfer_syntax"]


class TestTheCommands:
    def test_every_script_is_there(self):
        found = {name for name, _, _ in commands()}
        scripts = {path.stem for path in (ROOT / "scripts").glob("*.py") if "call(" in path.read_text(encoding="utf-8")}
        assert found == scripts - {"command_line"}
        assert {"prepare", "folds", "cross_validate", "report", "benchmark", "pacs", "reference"} <= found

    def test_words_are_what_one_writes(self):
        words = {name: [command.words for command in found] for name, _, found in commands()}
        assert words["folds"] == ["folds"]
        assert words["report"][:2] == ["report", "report analyse"]
        assert "prepare cesm_dicom" in words["prepare"]
        assert "benchmark cost" in words["benchmark"]

    def test_an_option_without_a_word_is_told(self, monkeypatch):
        from scripts.reference_pages import commands as module

        def mute(image_size: int = 3) -> None:
            """Say nothing.

            Args:
                other: that is not there.
            """

        monkeypatch.setattr(module, "commands", lambda: iter([("mute", "", [module.Command("mute", mute)])]))
        with pytest.raises(ValueError, match=r"scripts.mute: --image_size is not explained in the docstring's Args."):
            commands_page()

    def test_a_docstring_is_read_over_lines_and_for_two_at_once(self):
        def command(first: str, second: int = 1) -> None:
            """Do it.

            Well.

            Args:
                first, second: of both,
                    over two lines.

            Raises:
                ValueError: never.
            """

        about, said = described(command)
        assert about == "Do it.\n\nWell.\n"
        assert said == {"first": "of both, over two lines.", "second": "of both, over two lines."}


def test_markdown_of_a_docstring():
    assert prose("``le``  and\n:func:`mse` in [0, 1], a_b *c* _d") == r"`le` and `mse` in \[0, 1\], a_b \*c\* \_d"
    assert table(("a", "b"), [("x|y", "two\nlines")]) == "| a | b |\n| --- | --- |\n| x\\|y | two lines |"


class TestTheFiles:
    """docs/reference/files.md is written by hand."""

    page = (REFERENCE / "files.md").read_text(encoding="utf-8")

    def words(self, heading):
        part = self.page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
        return set(re.findall(r"`(\w+)`", part))

    def test_of_a_case(self):
        assert {*datalist.REQUIRED, *datalist.IMAGE_KEYS, *datalist.WINDOW_KEYS, "malignant"} <= self.words(
            "datalist.json"
        )

    def test_of_results(self):
        assert set(exam_folder.COLUMNS) <= self.words("results.csv")

    def test_of_a_card(self):
        card = {"sha256", "epoch", "validation", *configs()["train.json"]["train"]["card"]}
        assert card <= self.words("model.pt, its card, checkpoint.pt")

    def test_of_a_federations_card(self):
        card = federated_card({"A": {"init": None}, "B": {"init": None}}, {"A": 1, "B": 2})
        assert {"init", "federation"} <= set(card) <= self.words("model.pt, its card, checkpoint.pt")

    def test_of_exams(self, tmp_path):
        read = read_object(write_image(tmp_path / "image", np.zeros((3, 4), np.uint16)))
        table = exams_table([read], [], [], tmp_path)
        assert "kvp" in table
        assert {*table, "path", "reason"} <= self.words("exams.csv and skipped.csv")

    @pytest.mark.parametrize(
        ("name", "known"),
        [
            ("pulled.csv", PULLED),
            ("pushed.csv", PUSHED),
            ("_deidentified.csv", deidentified_folder.Row._fields),
            ("plan.json", State),
            ("truth/lesions.csv", (*IDENTITY, "number", "area_mm2", *A_LESION.truth())),
        ],
    )
    def test_of_records(self, name, known):
        (row,) = [line for line in self.page.splitlines() if line.startswith("| `") and f"{name}` |" in line]
        assert [column for column in known if f"`{column}`" not in row] == []

    def test_of_metrics(self):
        text = (REFERENCE / "metrics.md").read_text(encoding="utf-8")
        assert [name for name in columns() if f"`{name}`" not in text] == []


def test_warnings_that_pages_name_are_given():
    """Of a training in which everything goes wrong."""
    metrics = {"val_lesion_l1": 0.9, "val_background_l1": 0.1, "val_background_bias": 0.5}
    for region in ("lesion", "background"):
        metrics |= {f"val_{region}_le_correlation_virtual": 1.0, f"val_{region}_le_correlation_real": 0.2}
    evaluator = SimpleNamespace(state=SimpleNamespace(metrics=metrics))
    monitor, copy_monitor = FailureMonitor(evaluator), CopyMonitor(evaluator)
    engine = SimpleNamespace(state=SimpleNamespace(epoch=1, output={"loss_disc_des": 0.0, "loss_disc_le": 0.0}))
    monitor.iteration_completed(engine)
    monitor.judge_discriminators(engine)
    monitor.judge_validation(engine)
    copy_monitor.judge_validation(engine)
    warned = [*monitor.warned, *copy_monitor.warned]
    given = {name.removesuffix("_disc_des").removesuffix("_disc_le") for name in warned}
    text = "\n".join(page.read_text(encoding="utf-8") for page in DOCUMENTS)
    told = re.findall(r"warn[^|.(]*\(((?:`\w+`(?:, )?)+)\)", text)
    assert {name for names in told for name in re.findall(r"\w+", names)} == given
