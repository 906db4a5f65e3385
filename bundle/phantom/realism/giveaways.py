"""What gives a phantom away, by name: a logistic regression on a few features of each crop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import fft, stats
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .classifier import Auc, area_under_curve, auc_of
from .crops import Crops

__all__ = ["BANDS", "Giveaways", "crop_features", "giveaways"]

BANDS = {"coarse": (0.02, 0.08), "middle": (0.08, 0.2), "fine": (0.2, 0.5)}  # cycles per pixel at 256 px


@dataclass(frozen=True, eq=False)
class Giveaways:
    """AUC of the regression, and a row a feature: ``coefficient`` per SD, ``auc`` of it alone, means of both kinds.

    A positive coefficient says that phantoms have more of it; the largest come first.
    """

    auc: Auc
    table: pd.DataFrame


def _band_powers(image: NDArray) -> dict[str, float]:
    """log10 of the mean power in each band, Hann window, mean taken out."""
    size = len(image)
    taper = np.hanning(size + 1)[:-1]
    window = np.outer(taper, taper)
    power = np.abs(fft.fft2((image - (image * window).sum() / window.sum()) * window)) ** 2 / (window**2).sum()
    frequency = np.hypot(fft.fftfreq(size)[:, None], fft.fftfreq(size)[None, :])
    return {
        name: float(np.log10(power[(frequency >= low) & (frequency < high)].mean() + 1e-12))
        for name, (low, high) in BANDS.items()
    }


def crop_features(crops: Crops) -> pd.DataFrame:
    """A row a crop: mean, SD, skewness, slope between neighbouring bands of LE and of DES, and their correlation.

    A slope is the fall of log10 power from one band to the next: large where structure is coarse.
    """
    rows = []
    for pair in crops.images.astype(np.float64):
        row: dict[str, float] = {}
        for name, image in zip(("LE", "DES"), pair, strict=True):
            varies = image.std() > 1e-9
            bands = _band_powers(image)
            row[f"{name} mean"] = float(image.mean())
            row[f"{name} log SD"] = float(np.log10(image.std() + 1e-6))
            row[f"{name} skewness"] = float(stats.skew(image, axis=None)) if varies else 0.0
            row[f"{name} slope coarse to middle"] = bands["coarse"] - bands["middle"]
            row[f"{name} slope middle to fine"] = bands["middle"] - bands["fine"]
        both_vary = all(image.std() > 1e-9 for image in pair)
        row["correlation LE-DES"] = float(np.corrcoef(pair[0].ravel(), pair[1].ravel())[0, 1]) if both_vary else 0.0
        rows.append(row)
    return pd.DataFrame(rows)


def giveaways(
    train_real: Crops, train_phantom: Crops, test_real: Crops, test_phantom: Crops, seed: int = 0
) -> Giveaways:
    """Fit on the training crops, try on the others.

    Args:
        train_real, train_phantom, test_real, test_phantom: crops; training and test must share no patient.
        seed: of the bootstrap.
    """
    real, phantom = crop_features(train_real), crop_features(train_phantom)
    truth = np.repeat([0, 1], [len(real), len(phantom)])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000))
    model.fit(pd.concat([real, phantom]), truth)

    tried_real, tried_phantom = crop_features(test_real), crop_features(test_phantom)
    scores = [model.decision_function(part) for part in (tried_real, tried_phantom)]
    area = auc_of(scores[0], test_real.patients, scores[1], test_phantom.patients, seed=seed)
    rows = []
    for name, coefficient in zip(real.columns, model[-1].coef_[0], strict=True):
        alone = area_under_curve(tried_real[name].to_numpy(), tried_phantom[name].to_numpy())
        rows.append((name, coefficient, alone, tried_real[name].mean(), tried_phantom[name].mean()))
    columns = ["feature", "coefficient", "auc", "real", "phantom"]
    table = pd.DataFrame(rows, columns=columns).set_index("feature")
    return Giveaways(area, table.sort_values("coefficient", key=np.abs, ascending=False))
