"""The phantom appears at its default place alone, and a former run is moved, never lost."""

from __future__ import annotations

import json
import logging

import pytest

from bundle.data import fold_items
from bundle.experiments import keep_former_evaluation, keep_former_run, provide_data, provide_phantom


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, logger="bundle")
    return lambda: [record.getMessage() for record in caplog.records]


class TestProvidePhantom:
    def test_makes_the_study_and_says_so(self, tmp_path, said):
        folder = tmp_path / "data" / "phantom"
        provide_phantom(folder, tmp_path / "data" / ".." / "data" / "phantom", seed=3, image_size=64)
        assert said() == [
            f"there is no study in {folder}: making the phantom study (20 women, seed 3)",
            f"making {folder / 'folds.json'}",
        ]
        datalist = json.loads((folder / "datalist.json").read_text())
        assert datalist["phantom"] == {"patients": 20, "seed": 3, "image_size": 64}
        folds = json.loads((folder / "folds.json").read_text())
        assert (folds["k"], folds["seed"]) == (10, 3)
        parts = [fold_items(folder / "datalist.json", folder / "folds.json", 0, part) for part in ("training", "test")]
        assert [len(part) for part in parts] == [64, 8]

        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        provide_phantom(folder, folder, seed=3, image_size=64)
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
        assert len(said()) == 2

        (folder / "folds.json").unlink()
        provide_phantom(f"{folder}/../phantom", folder, seed=3, image_size=64)
        assert json.loads((folder / "folds.json").read_text()) == folds
        assert said()[2:] == [f"making {folder / '../phantom/folds.json'}"]
        changed = {path for path in before if path.stat().st_mtime_ns != before[path]}
        assert changed <= {folder, folder / "folds.json"}

    def test_makes_nothing_at_another_place(self, tmp_path, said):
        provide_phantom(tmp_path / "mine", tmp_path / "data" / "phantom")
        (tmp_path / "mine").mkdir()
        provide_phantom(tmp_path / "mine", tmp_path / "data" / "phantom")
        assert [path.name for path in tmp_path.iterdir()] == ["mine"]
        assert list((tmp_path / "mine").iterdir()) == []
        assert said() == []

    def test_touches_no_folder_with_other_files(self, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(FileExistsError, match="something else than a phantom study"):
            provide_phantom(tmp_path, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    def test_one_process_makes_it_and_the_others_wait(self, tmp_path, processes):
        waited = processes(rank=1)
        provide_phantom(tmp_path / "phantom", tmp_path / "phantom")
        assert not (tmp_path / "phantom").exists()
        assert waited == ["barrier"]


@pytest.fixture
def processes(monkeypatch):
    """One of several processes, and the barriers that it meets."""

    def become(rank):
        met = []
        monkeypatch.setattr(provide_data.dist, "is_initialized", lambda: True)
        monkeypatch.setattr(provide_data.dist, "get_rank", lambda: rank)
        monkeypatch.setattr(provide_data.dist, "barrier", lambda: met.append("barrier"))
        return met

    return become


class TestKeepFormerRun:
    def write(self, folder, **files):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name.replace("_", ".")).write_text(content)

    def files(self, folder):
        return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}

    def test_moves_run_after_run_and_overwrites_nothing(self, tmp_path, said):
        folder = tmp_path / "models"
        self.write(folder, model_pt="a", model_json="a", checkpoint_pt="a", notes_txt="mine")
        keep_former_run(folder, resume=False)
        self.write(folder, checkpoint_pt="b")  # a run that was stopped before its first model
        keep_former_run(folder, resume=False)
        assert self.files(folder) == {
            "former_1/model.pt": "a",
            "former_1/model.json": "a",
            "former_1/checkpoint.pt": "a",
            "former_2/checkpoint.pt": "b",
            "notes.txt": "mine",
        }
        assert said() == [
            f"{folder} held an earlier run: its files are now in {folder / 'former_1'}",
            f"{folder} held an earlier run: its files are now in {folder / 'former_2'}",
        ]

    def test_a_gap_among_the_former_runs_is_filled_without_loss(self, tmp_path):
        self.write(tmp_path / "former_2", model_pt="old")
        for content in ("a", "b"):
            self.write(tmp_path, model_pt=content)
            keep_former_run(tmp_path, resume=False)
        assert self.files(tmp_path) == {f"former_{n}/model.pt": c for n, c in ((1, "a"), (2, "old"), (3, "b"))}

    def test_a_resumed_run_stays(self, tmp_path, said):
        self.write(tmp_path, model_pt="a", checkpoint_pt="a")
        keep_former_run(tmp_path, resume=True)
        assert self.files(tmp_path) == {"model.pt": "a", "checkpoint.pt": "a"}
        assert said() == []

    def test_nothing_to_keep(self, tmp_path):
        keep_former_run(tmp_path / "models", resume=False)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(("rank", "moved"), [(0, True), (1, False)])
    def test_one_process_moves_and_all_wait(self, tmp_path, processes, rank, moved):
        self.write(tmp_path, model_pt="a")
        waited = processes(rank)
        keep_former_run(tmp_path, resume=False)
        assert (tmp_path / "former_1").exists() == moved
        assert waited == ["barrier"]


def test_the_outputs_of_an_earlier_run_and_evaluation_are_kept_too(tmp_path):
    (tmp_path / "panels").mkdir()
    for name in ("run.json", "panels/a.png", "metrics.csv"):
        (tmp_path / name).write_text(name)
    keep_former_run(tmp_path / "models", resume=True, output_dir=tmp_path)
    assert (tmp_path / "run.json").is_file()
    keep_former_run(tmp_path / "models", resume=False, output_dir=tmp_path)
    assert (tmp_path / "former_1/panels/a.png").read_text() == "panels/a.png"
    assert (tmp_path / "metrics.csv").is_file()
    keep_former_evaluation(tmp_path)
    assert (tmp_path / "former_2/metrics.csv").read_text() == "metrics.csv"
