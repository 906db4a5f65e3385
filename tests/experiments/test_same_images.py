"""A file that stands twice is found by its content, whatever it is called, and other files of its size are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundle.experiments import same_images
from bundle.experiments.same_images import ListedImage, same_files, same_image_problems

LONG = 3 * same_images.END


@pytest.fixture
def write(tmp_path):
    def file(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    return file


def test_files_are_the_same_when_every_byte_is(write):
    whole = bytes(LONG)
    middle = bytearray(whole)
    middle[LONG // 2] = 1
    copies = [write(name, whole) for name in ("a", "b", "c")]
    others = [write("middle", bytes(middle)), write("end", whole[:-1] + b"x"), write("short", b"12"), write("s", b"13")]
    assert same_files([*others, *copies]) == [copies]
    assert same_files([*copies, copies[0]]) == [copies]  # a path given twice is one file
    empty = [write(name, b"") for name in ("e", "f")]
    assert same_files(empty) == [empty]
    assert same_files([]) == []


def test_only_files_of_one_size_are_read_and_only_the_alike_to_their_end(write, monkeypatch):
    read = []
    monkeypatch.setattr(same_images, "_content", lambda path: read.append(path.name) or b"")
    same_files([write("a", bytes(LONG)), write("b", bytes(LONG)), write("c", bytes(LONG - 1) + b"x"), write("d", b"1")])
    assert sorted(read) == ["a", "b"]


def test_an_image_of_two_folds_is_a_leak_and_one_of_a_fold_is_none(write):
    one, other, third = write("one.png", b"same"), write("other.png", b"same"), write("third.png", b"diff")
    images = [ListedImage(one, "P1", 0), ListedImage(other, "P2", 0), ListedImage(third, "P3", 1)]
    assert same_image_problems({"dataset_dir": images}) == []
    images[1] = ListedImage(other, "P2", 2)
    (problem,) = same_image_problems({"dataset_dir": images})
    assert problem.startswith(
        "--dataset_dir has 1 image file(s) with patients of different folds: "
        f"{one} (P1, fold 0) = {other} (P2, fold 2). What a model is trained on would stand in its test part."
    )
    (problem,) = same_image_problems({"dataset_dir": [ListedImage(one, "P1", 0), ListedImage(one, "P2", 2)]})
    assert f"{one} (P1, fold 0) = {one} (P2, fold 2)" in problem


def test_copies_in_the_list_of_stage_1_are_counted_and_some_are_named(write):
    first = [write(f"public/{number}.png", b"%d" % number) for number in range(6)]
    second = [write(f"clinic/x{number}.png", b"%d" % number) for number in range(1, 7)]
    lists = {name: [ListedImage(path, "P", 0) for path in paths] for name, paths in (("a", first), ("b", second))}
    (problem,) = same_image_problems(lists)
    assert problem.startswith(f"--pretrain_dir has 5 image file(s) of --dataset_dir ({first[1]} = {second[0]}; ")
    assert "; and 2 more): patients that stage 1 trains on would stand in the test parts" in problem


def test_what_is_not_there_is_named(write, tmp_path):
    images = [ListedImage(write("a", b"1"), "P1", 0), ListedImage(tmp_path / "lost", "P2", 1)]
    assert same_image_problems({"dataset_dir": images}) == [
        f"--dataset_dir names 1 image file(s) that are not there: {tmp_path / 'lost'}."
    ]
