"""What the numbers of a report mean, in short sentences with the thresholds and lengths of its own runs."""

from __future__ import annotations

import math

from .collect import Collection

__all__ = ["meaning"]

THRESHOLDS = {"enhancing_cnr": 0.3, "least_share": 0.5, "num_sd": 3.0}  # those of configs/evaluate.json


def meaning(collection: Collection) -> list[tuple[str, str]]:
    """Words and what they mean, for a reader who knows mammography and no formula."""
    cnr, share, num_sd = (_threshold(collection, name, default) for name, default in THRESHOLDS.items())
    margin, ring, smallest = _lengths(collection)
    return [
        ("difference", "Model minus reference. For an error (MSE, L1) below 0 means that the model is better."),
        (
            "regions",
            f"Lesion: the drawn map. Ring: breast {margin} to {ring} px from the lesion. Background: breast more than "
            f"{margin} px from every lesion. Breast: the tissue in LE, without air. Pixels of the model's grid.",
        ),
        ("MSE, L1", "Mean squared and mean absolute error, intensity in [0, 1]. Less is better. e-2: times 100."),
        ("PSNR, SSIM, VIF", "Similarity of two images. More is better. Identical images have an infinite PSNR."),
        (
            "contrast",
            "Mean of the lesion minus mean of its ring. CNR: that contrast over the SD in the ring. Contrast error: "
            "the absolute difference of virtual and real contrast, over images with a lesion.",
        ),
        (
            "missed",
            f"A lesion that enhances (real CNR at least {cnr}) and keeps less than {share} of its real contrast in the "
            "virtual DES. The share is of images whose lesion enhances, not of all lesions.",
        ),
        (
            "invented",
            f"Blobs of at least {smallest} px in the virtual DES that are brighter than the background by {num_sd} SD "
            f"of the real one, with neither a lesion nor anything as bright in the real DES within {margin} px. "
            "Counted in all images.",
        ),
        (
            "slope",
            "Of the virtual lesion contrast over the real one, over patients. 1: the virtual one follows it. 0: it is "
            "the same whether a lesion enhances or not. Noise in the real contrast alone pulls it below 1.",
        ),
        (
            "r, correlation",
            "1: two things rise and fall together. 0: one says nothing of the other. Below 0: one falls where the "
            "other rises. It does not see level and gain. With LE: over the pixels of a region, 1 is a copy of LE.",
        ),
        (
            "± in tables, and intervals",
            "± is the SD over folds, no standard error. An interval is of the mean over patients. With fewer than 50 "
            "patients it is too narrow.",
        ),
        (
            "p, p Holm",
            "How often chance alone would give such a difference or a larger one, for these trained networks. Holm: "
            "corrected for the pairs of a family. A large p is no proof of equality.",
        ),
        ("who counts", "Lesion values rest on images with a lesion map, all others on every image of the table."),
    ]


def _threshold(collection: Collection, name: str, default: float) -> str:
    """Of the evaluations' own configs; several values stand together."""
    found: dict[str, None] = {}
    for run in collection.runs:
        metrics = ((run.evaluation.get("config") or {}).get("evaluate") or {}).get("metrics") or {}
        found[f"{metrics.get(name, default):g}"] = None
    return " or ".join(found)


def _lengths(collection: Collection) -> tuple[str, str, str]:
    """Margin and end of the ring and the smallest blob, at the grid of the models (256 px where it is not known)."""
    from ...metrics.regions import MARGIN, REFERENCE_SIZE, RING

    sizes = dict.fromkeys(run.card.get("image_size") or REFERENCE_SIZE for run in collection.runs)
    scales = [size / REFERENCE_SIZE for size in sizes]
    return (
        " or ".join(f"{MARGIN * scale:.3g}" for scale in scales),
        " or ".join(f"{RING * scale:.3g}" for scale in scales),
        " or ".join(f"{math.ceil(math.pi * (MARGIN * scale) ** 2)}" for scale in scales),
    )
