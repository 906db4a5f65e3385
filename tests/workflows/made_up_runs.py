"""A folder as a cross-validation leaves it, made up: no network was trained, the values mean nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from bundle.evaluation.tables import FLOORS

MODELS = {0: "cyclegan", 35: "seg_cyclegan", 100: "seg_cyclegan"}
VERSIONS = {"python": "3.11.7", "monai": "1.6.1", "torch": "2.13.0"}


def write_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.rint(65535 * image.clip(0, 1)).astype(np.uint16)).save(path)


def pictures(generator: np.random.Generator, size: int, lesion: bool) -> dict[str, np.ndarray]:
    """A half-disc of a breast with a texture and, perhaps, a bright lesion in DES alone."""
    rows, columns = np.mgrid[:size, :size] / size
    breast = np.clip(12 * (0.42 - np.hypot(rows - 0.5, 0.7 * columns)), 0, 1)
    texture = np.kron(generator.random((8, 8)), np.ones((size // 8, size // 8)))
    le = breast * (0.35 + 0.3 * texture + 0.02 * generator.standard_normal((size, size)))
    centre = generator.uniform([0.35, 0.1], [0.65, 0.35])
    seg = (np.hypot(rows - centre[0], columns - centre[1]) < generator.uniform(0.03, 0.08)) & lesion
    des = breast * (0.3 + 0.1 * texture) + 0.35 * seg
    return {"le": le, "des": des, "seg": seg.astype(float)}


def values(generator: np.random.Generator, error: float, lesion: bool) -> dict[str, float]:
    columns = {}
    for area in ("", "breast_", "lesion_", "ring_", "background_"):
        known = lesion or area not in ("lesion_", "ring_")
        l1 = error * generator.uniform(0.8, 1.2) * (2 if area == "lesion_" else 1)
        columns |= {f"{area}mse": l1**2 if known else np.nan, f"{area}l1": l1 if known else np.nan}
        columns |= {f"{area}psnr": -20 * np.log10(l1) if known else np.nan, f"{area}ssim": 1 - l1 if known else np.nan}
    columns["vif"] = 0.2 - error
    contrast = generator.uniform(0.1, 0.4) if lesion else np.nan
    columns |= {"lesion_contrast_real": contrast, "lesion_contrast_virtual": contrast - error}
    columns |= {"lesion_cnr_real": 10 * contrast, "lesion_cnr_virtual": 10 * (contrast - error)}
    columns["enhancement_missed"] = float(generator.random() < 0.3) if lesion else np.nan
    columns |= {"invented_count": float(generator.integers(3)), "invented_area": generator.uniform(0, 0.02)}
    return columns | {"background_bias": error / 3}


def write_json(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_runs(
    root: Path,
    patients: int = 6,
    size: int = 64,
    k: int = 3,
    gammas: tuple[int, ...] = (0, 35, 100),
    datalist: str = "Made-up CESM",
    images: bool = True,
    names=None,
) -> Path:
    """``RUNS``: stage 1, a folder a (gamma, fold), two images a patient, every second patient with a lesion."""
    generator = np.random.default_rng(0)
    names = names or {}
    cases = [
        (names.get(f"P{patient:03d}_L_{view}", f"P{patient:03d}_L_{view}"), f"P{patient:03d}", view, patient % k)
        for patient in range(patients)
        for view in ("CC", "MLO")
    ]
    real = {case_id: pictures(generator, size, int(patient[1:]) % 2 == 0) for case_id, patient, _, _ in cases}
    provenance = {"datalist": datalist, "datalist_hash": "ab" * 32, "data_hash": "cd" * 32, "lesions": "all"}
    folds = root / "data" / "folds.json"
    write_json(folds, {"k": k, "seed": 7, "folds": {patient: fold for _, patient, _, fold in cases}})
    config = {"dataset_dir": str(folds.parent), "image_size": size, "max_epochs": 2, "learning_rate": 1e-5}
    config |= {"batch_size": 1, "init_checkpoint": None, "disc_des": {"_target_": "made.up", "width": 8}}
    network = {"width": 4, "num_blocks": 2, "upsample": "resize"}
    for fold in range(k):
        of_fold = [case for case in cases if case[3] == fold]
        floors = []
        for case_id, patient, view, _ in of_fold:
            leading = {"case_id": case_id, "patient_id": patient, "laterality": "L", "view": view, "fold": fold}
            lesion = bool(real[case_id]["seg"].any())
            for floor in FLOORS:
                row = {**leading, "model": floor, "gamma": np.nan, "has_seg": lesion}
                floors.append(row | values(generator, 0.2, lesion))
        for gamma in gammas:
            folder, rows = root / f"gamma_{gamma}" / f"fold_{fold}", []
            for case_id, patient, view, _ in of_fold:
                of_case, lesion = real[case_id], bool(real[case_id]["seg"].any())
                leading = {"case_id": case_id, "patient_id": patient, "laterality": "L", "view": view, "fold": fold}
                row = {**leading, "model": MODELS[gamma], "gamma": gamma, "has_seg": lesion}
                rows.append(row | values(generator, 0.1 - gamma / 2000, lesion))
                if images:
                    noise = np.kron(generator.standard_normal((16, 16)), np.ones((size // 16, size // 16)))
                    virtual = of_case["des"] - 0.25 * (1 - gamma / 100) * of_case["seg"] + 0.02 * noise
                    for key, image in {**of_case, "virtual_des": virtual * (of_case["le"] > 0.01)}.items():
                        write_image(folder / "eval" / "images" / f"{case_id}_{key}.png", image)
            (folder / "eval").mkdir(parents=True, exist_ok=True)
            pd.DataFrame([*rows, *floors]).to_csv(folder / "eval" / "metrics.csv", index=False)
            card = {"sha256": f"{gamma:03d}{fold}" * 16, "image_size": size, "fold": fold, "gamma": gamma, "epoch": 2}
            card |= {"validation": {"val_loss": 0.1}, "network": network, "seed": 11}
            write_json(folder / "models" / "model.json", card)
            record = {"state": "completed", "versions": VERSIONS, "seed": 11, "provenance": provenance, "epochs": 2}
            record |= {"config_hash": "ef" * 32, "config": {**config, "gamma": gamma}, "wall_time_seconds": 90.0}
            write_json(folder / "eval" / "run.json", record)
            write_json(
                folder / "eval" / "evaluation.json",
                {"provenance": provenance, "part": "test", "model": card, "state": "completed"},
            )
    write_json(root / "pretrain" / "models" / "model.json", {"sha256": "99" * 32, "gamma": 0, "fold": 0, "seed": 11})
    write_json(
        root / "pretrain" / "eval" / "run.json",
        {"state": "completed", "versions": VERSIONS, "seed": 11, "provenance": {"datalist": "Other CESM"}},
    )
    runs = [{"name": f"gamma_{gamma}/fold_{fold}", "state": "done"} for gamma in gammas for fold in range(k)]
    write_json(root / "plan.json", {"runs": runs})
    return root
