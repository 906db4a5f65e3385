"""Rows of metrics.csv for the tests of the evidence: made up, with effects that are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd


def one_row(case_id: str, patient_id: str, model: str = "cyclegan", gamma: float = 0.0, fold: int = 0, **values):
    """A row with what every row has; ``values`` are its metrics."""
    leading = {"case_id": case_id, "patient_id": patient_id, "laterality": "L", "view": "CC", "fold": fold}
    return leading | {"model": model, "gamma": gamma, "has_seg": True} | values


def rows_of_patients(metric: str, of_patients: Mapping[str, Mapping[str, Sequence[float]]]) -> pd.DataFrame:
    """``{model: {patient: values of her images}}`` as rows of reader's names, all in fold 0."""
    rows = [
        one_row(f"{patient}-{number}", patient, model, np.nan, **{metric: value})
        for model, patients in of_patients.items()
        for patient, values in patients.items()
        for number, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def cohort(
    patients: int = 30, folds: int = 3, gammas: Sequence[float] = (0.0, 35.0, 100.0), seed: int = 0
) -> pd.DataFrame:
    """Raw rows as the runs leave them: two images a patient, every second one with a lesion, floors in every run.

    Seg-CycleGAN's lesion error is 0.05 below CycleGAN's, its background error the same but for noise.
    """
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(patients):
        patient = f"p{number:03}"
        for view in ("CC", "MLO"):
            has_seg = number % 2 == 0
            hard = generator.lognormal(-3, 0.3)
            real, area = generator.uniform(0.1, 0.4), float(generator.integers(20, 400))
            for model, gamma in [("cyclegan", 0.0)] + [("seg_cyclegan", gamma) for gamma in gammas if gamma]:
                noise = generator.normal(0, 0.002, 4)
                lesion = hard + 0.15 - 0.05 * (gamma > 0) + noise[0]
                row = {"mse": hard**2, "l1": hard + noise[1], "psnr": 26 + noise[2], "ssim": 0.85, "vif": 0.17}
                row |= {"breast_l1": 2 * hard, "background_l1": 1.9 * hard + noise[3]}
                row |= {"lesion_l1": lesion, "lesion_mse": lesion**2, "lesion_psnr": 20.0, "lesion_ssim": 0.7}
                row |= {"lesion_contrast_real": real, "lesion_contrast_virtual": real - lesion + 0.05}
                row |= {"enhancement_missed": float(lesion > 0.2), "lesion_area": area}
                if not has_seg:
                    row |= {name: np.nan for name in row if name.startswith(("lesion_", "enhancement_"))}
                row["invented_count"] = float(generator.poisson(0.3))
                case = one_row(f"{patient}_{view}", patient, model, gamma, number % folds, **row)
                rows.append(case | {"view": view, "has_seg": has_seg})
                floors = {"floor_le": 0.3, "floor_constant": 0.2}
                rows.extend(rows[-1] | {"model": name, "gamma": np.nan} | _floor(row, v) for name, v in floors.items())
    table = pd.DataFrame(rows)
    lesion_free = table.columns[table.columns.str.startswith(("lesion_", "enhancement_"))]
    is_floor = table["model"].str.startswith("floor")
    first = table[is_floor].groupby(["model", "case_id"])[["invented_count"]].transform("first")
    table.loc[is_floor, "invented_count"] = first["invented_count"]
    table.loc[~table["has_seg"], lesion_free] = np.nan
    return table


def _floor(row: Mapping[str, float], level: float) -> dict[str, float]:
    """The floor's errors do not depend on the model whose run it stands in."""
    fixed = dict.fromkeys(("mse", "l1", "breast_l1", "background_l1", "lesion_l1", "lesion_mse"), level)
    return fixed | {"psnr": 10.0, "lesion_contrast_virtual": level / 4, "enhancement_missed": 1.0}


def datalist_cases(table: pd.DataFrame) -> list[dict]:
    """What a datalist says of these images: densities A to D in turn, the last patient's not known."""
    pairs = table.drop_duplicates("case_id")[["case_id", "patient_id"]].to_numpy()
    return [
        {"case_id": case, "patient_id": patient, "density": "ABCD"[int(patient[1:]) % 4]}
        | ({"density": None} if patient == pairs[-1][1] else {})
        for case, patient in pairs
    ]
