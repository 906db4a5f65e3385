"""Images that stand in two lists, or in two folds of one, under whatever names: files are compared by content."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ListedImage", "same_files", "same_image_problems"]

END = 65536  # bytes at each end that tell most files of one size apart
NAMED = 3


@dataclass(frozen=True)
class ListedImage:
    """An image file of a datalist, with its patient and the patient's fold."""

    path: Path
    patient: str
    fold: int


def same_files(paths: Iterable[Path]) -> list[list[Path]]:
    """Groups of different paths whose files are equal byte for byte; copies that were encoded anew are not found.

    Sizes are compared first, then the ends of files of one size, and the whole content of those that are still alike:
    thousands of DICOM images of one size are told apart by their ends.
    """
    groups = [sorted(set(paths))]
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for key in (_size, _ends, _content):
            groups = [part for group in groups for part in _alike(group, pool.map(key, group))]
    return groups


def _alike(paths: Sequence[Path], keys: Iterable[Hashable]) -> list[list[Path]]:
    of_key: defaultdict[Hashable, list[Path]] = defaultdict(list)
    for path, key in zip(paths, keys, strict=True):
        of_key[key].append(path)
    return [group for group in of_key.values() if len(group) > 1]


def _size(path: Path) -> int:
    return path.stat().st_size


def _ends(path: Path) -> bytes:
    with open(path, "rb") as file:
        first = file.read(END)
        file.seek(-min(END, file.seek(0, os.SEEK_END)), os.SEEK_END)
        return hashlib.sha256(first + file.read()).digest()


def _content(path: Path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def same_image_problems(lists: Mapping[str, Collection[ListedImage]]) -> list[str]:
    """How patients of a test part could have been trained on: images of two lists, or of two folds of one.

    Args:
        lists: LE and DES images by option, ``pretrain_dir`` and ``dataset_dir``, or the latter alone.
    """
    problems = []
    for option, images in lists.items():
        lost = sorted({image.path for image in images if not image.path.is_file()})
        if lost:
            problems.append(f"--{option} names {len(lost)} image file(s) that are not there: {_some(map(str, lost))}.")
    paths = {image.path for images in lists.values() for image in images if image.path.is_file()}
    number = {path: index for index, group in enumerate(same_files(paths)) for path in group}
    by_list = {
        option: _by_content([image for image in images if image.path in paths], number)
        for option, images in lists.items()
    }
    for option, contents in by_list.items():
        problems += _within(option, contents.values())
    if len(by_list) == 2:
        problems += _between(*by_list.values())
    return problems


def _by_content(images: Iterable[ListedImage], number: Mapping[Path, int]) -> dict[Hashable, list[ListedImage]]:
    contents: defaultdict[Hashable, list[ListedImage]] = defaultdict(list)
    for image in images:
        contents[number.get(image.path, image.path)].append(image)
    return contents


def _within(option: str, contents: Iterable[Sequence[ListedImage]]) -> list[str]:
    split = [images for images in contents if len({image.fold for image in images}) > 1]
    if not split:
        return []
    said = [
        " = ".join(f"{image.path} ({image.patient}, fold {image.fold})" for image in images[:NAMED]) for images in split
    ]
    return [
        f"--{option} has {len(split)} image file(s) with patients of different folds: {_some(said)}. What a model is "
        "trained on would stand in its test part. Take them out of the datalist, or give the patients one id."
    ]


def _between(
    first: Mapping[Hashable, Sequence[ListedImage]], second: Mapping[Hashable, Sequence[ListedImage]]
) -> list[str]:
    shared = [content for content in first if content in second]
    if not shared:
        return []
    count = len({image.path for content in shared for image in first[content]})
    pairs = [(first[content][0].path, second[content][0].path) for content in shared]
    said = [str(one) if one == other else f"{one} = {other}" for one, other in pairs]
    return [
        f"--pretrain_dir has {count} image file(s) of --dataset_dir ({_some(said)}): patients that stage 1 trains on "
        "would stand in the test parts of stage 2. Pass another data set, or leave --pretrain_dir out."
    ]


def _some(names: Iterable[str]) -> str:
    every = list(names)
    more = [f"and {len(every) - NAMED} more"] if len(every) > NAMED else []
    return "; ".join([*every[:NAMED], *more])
