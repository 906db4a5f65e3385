"""A prepared case comes from the disk as it was made, and never once anything that made it has changed."""

from __future__ import annotations

import functools
import multiprocessing
import os

import numpy as np
import pytest
import torch
from monai.transforms import Compose, Lambdad, LoadImaged, RandFlipd, ScaleIntensityd
from PIL import Image

from bundle.data import fingerprint
from bundle.data.disk_cache import DiskCacheDataset, cached_dataset
from bundle.data.fingerprint import transform_identity
from bundle.transforms import AreaResized, CesmReader, EmptySegd, PadToSquared


def preparation(size: int = 8, method: str = "air") -> Compose:
    keys = ["le", "des"]
    return Compose(
        [
            LoadImaged(keys, reader=CesmReader(), ensure_channel_first=True),
            EmptySegd(),
            PadToSquared([*keys, "seg"], method=method),
            AreaResized(keys, "seg", size=size),
        ]
    )


@pytest.fixture
def cases(tmp_path):
    items = []
    for number in range(3):
        item = {"case_id": f"P{number}", "laterality": "L"}
        for place, key in enumerate(("le", "des")):
            image = np.random.default_rng([number, place]).integers(0, 60000, (24, 16)).astype(np.uint16)
            item[key] = str(tmp_path / f"{number}_{key}.png")
            Image.fromarray(image).save(item[key])
        items.append(item)
    return items


@pytest.fixture
def dataset(cases, tmp_path):
    def make(transform=None, items=cases):
        return DiskCacheDataset(items, transform or preparation(), tmp_path / "cache", num_workers=2)

    return make


def assert_same(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key], key


def times(dataset) -> list[int]:
    return [path.stat().st_mtime_ns for path in dataset.paths]


def test_gives_what_memory_gives_as_plain_tensors(cases, dataset, tmp_path):
    on_disk, in_memory = dataset(), cached_dataset(cases, preparation())
    assert cached_dataset(cases, preparation(), "disk", tmp_path / "cache").paths == on_disk.paths
    for index in range(3):
        case = on_disk[index]
        assert_same(case, {key: in_memory[index][key] for key in case})
        assert {type(case[key]) for key in ("le", "des", "seg")} == {torch.Tensor}
    with pytest.raises(ValueError, match="cache is 'ram', expected one of memory, disk"):
        cached_dataset(cases, preparation(), "ram")


def test_a_second_run_makes_nothing(dataset, monkeypatch):
    first = dataset()
    before = times(first)
    first[0]  # a transform that has worked is the transform that it was
    monkeypatch.setattr("bundle.transforms.read.read_image", None)
    assert dataset(first.transform).paths == dataset().paths == first.paths
    assert times(dataset()) == before
    assert dataset()[1]["case_id"] == "P1"


def test_whatever_changes_makes_another_file(cases, dataset, monkeypatch):
    paths = dataset().paths
    assert len(set(paths)) == 3
    for other in (preparation(size=12), preparation(method="symmetric"), Compose(preparation().transforms[:3])):
        assert not set(dataset(other).paths) & set(paths)
    moved = [{**item, "laterality": "R"} for item in cases]
    assert not set(dataset(items=moved).paths) & set(paths)
    stat = os.stat(cases[1]["des"])
    os.utime(cases[1]["des"], ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert [a == b for a, b in zip(dataset().paths, paths, strict=True)] == [True, False, True]
    Image.fromarray(np.full((24, 16), 7, np.uint16)).save(cases[2]["le"])
    assert dataset()[2]["le"].max() == 7
    for source in ("_versions", "_reading_code"):
        monkeypatch.setattr(fingerprint, source, lambda: "another")
        assert not set(dataset().paths) & set(paths)


@pytest.mark.parametrize("damage", [lambda c: b"", lambda c: c[: len(c) // 2], lambda c: c[:500] + b"?" + c[501:]])
def test_a_damaged_file_is_made_anew(damage, dataset, caplog):
    data = dataset()
    whole, case = data.paths[1].read_bytes(), data[1]
    data.paths[1].write_bytes(damage(whole))
    assert_same(data[1], case)
    assert "cannot be read and is made anew" in caplog.text
    assert data.paths[1].read_bytes() == whole
    data.paths[1].unlink()
    assert_same(data[1], case)


def test_several_processes_at_once(cases, tmp_path):
    context = multiprocessing.get_context("fork")
    start = context.Barrier(3)

    def work():
        start.wait()
        data = DiskCacheDataset(cases, preparation(), tmp_path / "cache")
        assert [data[index]["case_id"] for index in range(3)] == ["P0", "P1", "P2"]

    processes = [context.Process(target=work) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(list((tmp_path / "cache").iterdir())) == 3  # and nothing half written


def test_functions_count_by_what_they_do():
    def identity(factor):
        return transform_identity([Lambdad("le", lambda image: image * factor)])

    assert identity(2) == identity(2) != identity(3)
    one, other = (transform_identity([Lambdad("le", f)]) for f in (lambda image: image + 1, lambda image: image - 1))
    assert one != other
    part = functools.partial(np.clip, a_min=0)
    assert transform_identity([Lambdad("le", part)]) == transform_identity([Lambdad("le", functools.partial(part))])


def test_errors(cases, dataset):
    with pytest.raises(ValueError, match=r"RandFlipd draws at random, .* Put it into random_transforms"):
        dataset(Compose([RandFlipd("le")]))
    held = ScaleIntensityd("le")
    held.file = open(os.devnull)  # noqa: SIM115
    with pytest.raises(ValueError, match=r"has the parameter <_io.* cannot be described for the cache on disk"):
        dataset(Compose([held]))
    held.file.close()
    os.unlink(cases[0]["le"])
    with pytest.raises(FileNotFoundError):
        dataset()
