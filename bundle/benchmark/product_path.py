"""DICOM to DICOM as the project's own configs compose it, step by step."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from ..dicom.files import read_dataset
from ..dicom.write import derived_uids
from ..inference.exam_loader import prepare
from ..inference.write_results import write as write_result
from ..keys import BatchKeys
from ..networks.weights import load_weights
from .timing import timed

__all__ = ["ProductPath"]


class ProductPath:
    """One LE object after the other through what ``inference_dicom.json`` composes; in this process, without workers.

    Args:
        configs: folder with ``inference.json`` and ``inference_dicom.json``.
        settings: their root keys: ``ckpt_path``, ``backend``, ``precision``, ``transfer_syntax`` and so on.
    """

    def __init__(self, configs: str | os.PathLike, settings: Mapping[str, Any]) -> None:
        parser = ConfigParser()
        parser.read_config([str(Path(configs, name)) for name in ("inference.json", "inference_dicom.json")])
        parser.update({"device": torch.device("cpu"), "num_workers": 0, "num_writers": 0} | dict(settings))
        self.seen = parser.get_parsed_content("card").get("seen") or {}
        self.window = parser.get_parsed_content("des_window")
        self.image_size = parser.get_parsed_content("image_size")
        self.synthesis, self.form = parser.get_parsed_content("synthesis"), parser.get_parsed_content("form")
        self.preprocessing = parser.get_parsed_content("preprocessing")
        self.postprocessing = parser.get_parsed_content("postprocessing")
        self.inferer = parser.get_parsed_content("inferer")
        load_weights(settings["ckpt_path"], parser.get_parsed_content("network_def"), "cpu")
        self.network = parser.get_parsed_content("network").load()
        self.network.eval()
        self.steps: dict[str, tuple[float, float]] = {}

    def output(self, source: str | os.PathLike, folder: str | os.PathLike) -> Path:
        """Where the derived object of ``source`` has to lie."""
        header = read_dataset(source, pixels=False)
        series, name = derived_uids(header, self.synthesis, self.form)
        return Path(folder, str(header.StudyInstanceUID), series, f"{name}.dcm")

    def __call__(self, source: str | os.PathLike, target: str | os.PathLike) -> None:
        """Write ``target``, see :meth:`output`; ``steps`` holds the seconds of each step."""
        state: dict[str, Any] = {}
        item = {"image": str(source), "output": str(target), "copies": []}

        def read_and_preprocess() -> None:
            state["item"] = prepare(item, self.preprocessing, self.seen)

        def apply() -> None:
            batch = torch.stack([state["item"]["tensor"].as_tensor()])
            with torch.no_grad():
                state["pred"] = self.inferer(batch, self.network).float()[0]

        def write() -> None:
            write_result(self.postprocessing, {**state["item"], BatchKeys.PRED: state["pred"]})

        wall, cpu = timed(read_and_preprocess)
        share = state["item"]["decode"] / (state["item"]["decode"] + state["item"]["preprocess"])
        self.steps["read"] = (wall * share, cpu * share)
        self.steps["preprocess"] = (wall * (1 - share), cpu * (1 - share))
        self.steps["network"], self.steps["write"] = timed(apply), timed(write)
