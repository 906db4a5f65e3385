"""A Model Zoo bundle of one trained model."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...data.whole_files import beside
from ...networks.weights import card_path, card_problems, load_weights, read_card
from ..export.manifest import foreign_files, listed, write_manifest
from ..export.metadata import preprocessing_in_words, spatial_shape
from ..export.objective import has_cycle, network_in_words
from .code import copy_code, copy_configs, formatted, write_json
from .documents import PLACEHOLDER, document
from .metadata import metadata_of, metadata_problems, scores
from .provenance import open_questions, pretraining, sites, source_of
from .wording import Wording

__all__ = ["write_zoo_bundle"]

logger = logging.getLogger(__name__)
ROOT = Path(__file__).parents[3]
SOURCES = ("bundle", "configs", "scripts")  # of the repository: what is below them is copied
ADDRESS = re.compile(r"https?://[a-zA-Z0-9][a-zA-Z0-9.-]*(:\d+)?(/[^\s\"'`\\<>\x00-\x1f\x7f]*)?")
MAKE_ONE = (
    "Make one: python -m monai.bundle run training --config_file configs/train.json (make quickstart makes a small one "
    "in minutes), then pass the model.pt of its ckpt_dir."
)


def write_zoo_bundle(
    output: str | os.PathLike,
    model: str | os.PathLike,
    name: str = "breast_cesm_virtual_contrast",
    weights_url: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write ``output/<name>/``, which trains and infers where this package is not installed, and its unit test.

    The bundle holds LICENSE, large_files.yml, ``configs/``, ``docs/``, ``models/model.pt`` with its card, and this
    package as ``scripts/``; beside it lies ``output/test_<name>.py`` in the form of the zoo's ``ci/unit_tests``. It is
    made beside its place and renamed. What the zoo demands besides, such as a URL, is logged as a warning.

    Args:
        output: the folder that receives both.
        model: ``model.pt`` as a training wrote it, its card ``model.json`` beside it.
        name: of the bundle; small letters, digits and underscores, as in the zoo.
        weights_url: where the zoo is to load ``model.pt`` from; None leaves a placeholder in large_files.yml.
        overwrite: replace an earlier export, unless files lie in it that no export wrote, such as trainings.

    Returns:
        the bundle's root.

    Raises:
        ValueError: with everything that is in the way: no model, no card or another one's, a name that is none, an
            earlier export, files in it that no export wrote, an output inside of what is exported, a
            package that comes without its repository.
    """
    place, model = Path(output) / name, Path(model)
    test = place.with_name(f"test_{name}.py")
    problems = _problems(place, test, model, name, weights_url, overwrite)
    if problems:
        raise ValueError("\n".join(problems))
    card = read_card(model)
    parameters = _parameters(model)
    wording = Wording(ROOT)
    with _folder_beside(place) as folder:
        _fill(folder, model, card, name, weights_url, parameters, wording)
        with beside(test) as written:
            written.write_text(document("unit_test.py.j2", name=name, card=card), encoding="utf-8")
            formatted([*(folder / "scripts").rglob("*.py"), written])
            write_manifest(folder)
            _take_place(folder, place)
    for question in open_questions(card):
        logger.warning(f"{place}: docs/data_license.txt cannot say {question}. Add it before you publish the model.")
    if found := sites(card):
        logger.warning(
            f"{place}: models/model.json names the {len(found)} sites of the federated training, and their datalists. "
            "Rename them there before you publish the model, unless they may be known."
        )
    if weights_url is None:
        logger.warning(
            f"{place}: large_files.yml names no address of model.pt but {PLACEHOLDER}. The Model Zoo's checks load it "
            "from there and cannot pass before it is set (weights_url)."
        )
    return place


def _problems(place: Path, test: Path, model: Path, name: str, weights_url: str | None, overwrite: bool) -> list[str]:
    problems = [f"{problem} {MAKE_ONE}" for problem in card_problems(model)]
    if not problems:
        try:
            _parameters(model)
        except ValueError as error:
            problems.append(str(error))
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        problems.append(f"name is {name!r}, expected small letters, digits and underscores, such as breast_cesm.")
    if weights_url is not None and not ADDRESS.fullmatch(weights_url):
        problems.append(
            f"weights_url is {weights_url!r}, expected the http(s) address of model.pt: a host, no quotes, "
            "backslashes, blanks, no user's name."
        )
    if any(place.resolve().is_relative_to((ROOT / source).resolve()) for source in SOURCES):
        problems.append(f"{place} lies inside of what is exported. Pass an output outside {', '.join(SOURCES)}.")
    there = [str(path) for path in (place, test) if path.exists()]
    if there and not overwrite:
        problems.append(f"{' and '.join(there)} exists already. Pass another output, or overwrite.")
    elif place.exists() or place.is_symlink():
        problems += _kept(place)
    if (ROOT / "configs/train.json").is_file() and (ROOT / "scripts/prepare.py").is_file():
        problems += metadata_problems(ROOT)
    else:
        problems.append(f"{ROOT} holds no configs and scripts: export from a checkout of the repository.")
    return problems


def _kept(place: Path) -> list[str]:
    """What an overwritten export would take with it that no export can make again."""
    if place.is_symlink() or not place.is_dir():
        return [f"{place} is no folder of an earlier export. Move it away, or pass another output."]
    foreign = [name for name in foreign_files(place) if not name.endswith(".pyc")]
    if not foreign:
        return []
    return [
        f"{place} holds {len(foreign)} file(s) that the export did not write: {listed(foreign)}. Move them away, or "
        "pass another output."
    ]


def _parameters(model: Path) -> int:
    """The number of parameters of the network of ``configs/inference.json``, into which the weights fit exactly."""
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(ROOT / "configs/inference.json"))
    parser.update({"ckpt_path": str(model)})
    network = load_weights(model, parser.get_parsed_content("network_def"))
    return sum(parameter.numel() for parameter in network.parameters())


def _fill(
    folder: Path,
    model: Path,
    card: Mapping[str, Any],
    name: str,
    weights_url: str | None,
    parameters: int,
    wording: Wording,
) -> None:
    for inner in ("configs", "docs", "models", "scripts"):
        (folder / inner).mkdir()
    copy_code(ROOT, folder / "scripts", wording)
    copy_configs(ROOT, folder / "configs", wording)
    metadata = metadata_of(ROOT, card, wording.dependencies)
    write_json(folder / "configs/metadata.json", metadata)
    shutil.copyfile(ROOT / "LICENSE", folder / "LICENSE")
    for path in (model, card_path(model)):
        shutil.copyfile(path, (folder / "models/model").with_suffix(path.suffix))
    values = {
        "card": card,
        "has_cycle": has_cycle(card),
        "metadata": metadata,
        "name": name,
        "network": network_in_words(card),
        "parameters": parameters,
        "preprocessing": preprocessing_in_words(card),
        "pretraining": pretraining(card),
        "questions": open_questions(card),
        "scores": scores(card),
        "sides": _sides(card),
        "source": source_of(card),
        "weights_url": weights_url,
    }
    for text in ("docs/README.md", "docs/data_license.txt", "large_files.yml"):
        (folder / text).write_text(document(f"{Path(text).name}.j2", **values), encoding="utf-8")


def _sides(card: Mapping[str, Any]) -> str:
    side = spatial_shape(card)[0]
    return (
        f"{side} x {side}"
        if isinstance(side, int)
        else f"of any size whose sides are multiples of {side.partition('*')[0]},"
    )


@contextmanager
def _folder_beside(place: Path) -> Iterator[Path]:
    """An empty folder beside ``place`` that is gone in the end, unless it took its place."""
    folder = place.with_name(f".{os.getpid()}.{place.name}")
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _take_place(folder: Path, place: Path) -> None:
    """Rename ``folder`` to ``place``; an earlier export is moved aside first and removed afterwards."""
    if not place.exists():
        folder.rename(place)
        return
    former = place.with_name(f"{folder.name}.former")
    place.rename(former)
    folder.rename(place)
    shutil.rmtree(former)
