"""A prepared case comes from the disk as it was made, and never once anything that made it has changed."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import logging
import multiprocessing
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose, Lambdad, LoadImaged, RandFlipd, ScaleIntensityd
from PIL import Image

from bundle.data import fingerprint
from bundle.data.disk_cache import DiskCacheDataset, cached_dataset
from bundle.data.fingerprint import transform_identity
from bundle.experiments.check_config import _cache_problems
from bundle.transforms import AreaResized, CesmReader, EmptySegd, PadToSquared

FACTOR = 1.0


def scaled(image):
    return image * FACTOR


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


def test_what_a_function_reads_counts(monkeypatch):
    def of_config(text, factor):
        parser = ConfigParser({"factor": factor, "f": {"_target_": "Lambdad", "keys": "le", "func": text}})
        return transform_identity([parser.get_parsed_content("f")])

    for text in ("$lambda x: x * @factor", "$lambda x: [one * @factor for one in x]"):
        assert of_config(text, 1.0) == of_config(text, 1.0) != of_config(text, 2.0)

    def identities():
        helped = lambda image: [scaled(one) for one in image]  # noqa: E731
        return [transform_identity([Lambdad("le", f)]) for f in (scaled, helped, [].append)]

    before = identities()
    assert identities() == before
    assert transform_identity([Lambdad("le", [1].append)]) != before[2]
    assert len({transform_identity([Lambdad("le", f)]) for f in (np.floor, np.ceil, np.sort, np.flip)}) == 4
    monkeypatch.setitem(globals(), "FACTOR", 2.0)
    assert [a == b for a, b in zip(identities(), before, strict=True)] == [False, False, True]
    monkeypatch.setitem(globals(), "FACTOR", logging.getLogger("a"))
    identities()


def imports_within(image):
    import math

    return image * math.pi


@pytest.mark.parametrize("installed", [False, True])
def test_the_code_beside_a_transform_counts(installed, tmp_path, monkeypatch):
    place = tmp_path / "lib" / "site-packages" if installed else tmp_path
    package = place / "own_transforms_of_a_test"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "helper.py").write_text("FACTOR = 1\n")
    (package / "scale.py").write_text(
        "from . import helper\nclass Scale:\n    def __call__(self, item):\n        return item * helper.FACTOR\n"
        "def scale(item):\n    return item * helper.FACTOR\n"
    )
    monkeypatch.syspath_prepend(place)
    monkeypatch.setattr(fingerprint, "_distributions", lambda: {package.name: ["own"]} if installed else {})
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.0" if name == "own" else version(name))
    scale = importlib.import_module(f"{package.name}.scale")
    of_all = [[scale.Scale()], [Lambdad("le", scale.scale)], [Lambdad("le", lambda x: scale.scale(x))]]

    def identities():
        return [transform_identity(transforms) for transforms in of_all]

    before = identities()
    assert identities() == before
    if installed:
        monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.1" if name == "own" else version(name))
    else:
        (package / "helper.py").write_text("FACTOR = 2\n")
    assert not any(a == b for a, b in zip(identities(), before, strict=True))
    for name in [name for name in sys.modules if name.startswith(package.name)]:
        del sys.modules[name]


def test_a_file_in_anothers_place_is_another(cases, dataset):
    paths, path = dataset().paths, cases[1]["le"]
    shutil.copy2(path, f"{path}.new")
    os.replace(f"{path}.new", path)
    assert [a == b for a, b in zip(dataset().paths, paths, strict=True)] == [True, False, True]
    stat = os.stat(path)
    paths = dataset().paths
    Path(path).write_bytes(Path(path).read_bytes())
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # in place, and dated back
    assert [a == b for a, b in zip(dataset().paths, paths, strict=True)] == [True, False, True]


def test_a_whole_cache_may_be_read_only(cases, dataset, monkeypatch):
    paths = dataset().paths
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK and access(path, mode))
    assert dataset()[0]["case_id"] == "P0"
    settings = {"cache": "disk", "cache_dir": str(paths[0].parent)}
    assert _cache_problems(settings, here=True) == []
    (problem,) = _cache_problems({**settings, "cache_dir": str(paths[0].parent / "new")}, here=True)
    assert problem.endswith("new cannot be written to. Pass another --cache_dir, or --cache memory.")
    paths[1].unlink()
    with pytest.raises(PermissionError, match=r"cache lacks 1 of 3 prepared cases and cannot be written to\. Pass"):
        dataset()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    (problem,) = _cache_problems(settings, here=True)
    assert problem.endswith("cache cannot be read. Pass another --cache_dir, or --cache memory.")


def test_errors(cases, dataset):
    with pytest.raises(ValueError, match=r"RandFlipd draws at random, .* Put it into random_transforms"):
        dataset(Compose([RandFlipd("le")]))
    held = ScaleIntensityd("le")
    held.file = open(os.devnull)  # noqa: SIM115
    with pytest.raises(ValueError, match=r"has the parameter <_io.* cannot be described for the cache on disk"):
        dataset(Compose([held]))
    held.file.close()
    with pytest.raises(ValueError, match=r"imports_within, which imports within itself .* Import at the top"):
        dataset(Compose([Lambdad("le", imports_within)]))
    os.unlink(cases[0]["le"])
    with pytest.raises(FileNotFoundError):
        dataset()
