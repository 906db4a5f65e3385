"""The tests keep their level and the interval its coverage, by simulation with a fixed seed."""

from __future__ import annotations

import numpy as np
import pytest

from bundle.evaluation.statistics import bootstrap_mean, holm, signed_rank

PATIENTS = 100


def patients_errors(generator: np.random.Generator, draws: int, models: int) -> np.ndarray:
    """Errors (draws, models, patients) of models that are equally good.

    A patient is as hard for all models, some are far harder than others, and each has one to four images.
    """
    hard = generator.lognormal(-2, 0.5, (draws, 1, PATIENTS))
    images = generator.integers(1, 5, (draws, 1, PATIENTS))
    return hard * (1 + generator.gamma(2, 0.1, (draws, models, PATIENTS)) / np.sqrt(images))


def test_false_positives_of_the_paired_test_are_those_it_promises():
    ours, theirs = patients_errors(np.random.default_rng(20250503), 10_000, 2).swapaxes(0, 1)
    assert 0.043 <= (signed_rank(ours - theirs) <= 0.05).mean() <= 0.057


def test_the_paired_test_finds_what_is_there():
    ours, theirs = patients_errors(np.random.default_rng(1), 500, 2).swapaxes(0, 1)
    assert (signed_rank(0.96 * ours - theirs) <= 0.05).mean() > 0.8


def test_family_wise_error_of_three_models(monkeypatch):
    monkeypatch.setattr("gc.collect", lambda *_: 0)  # statsmodels calls it at every correction: minutes of this test
    errors = patients_errors(np.random.default_rng(7), 10_000, 3)
    p_values = np.stack([signed_rank(errors[:, b] - errors[:, a]) for a, b in ((0, 1), (0, 2), (1, 2))], axis=1)
    alone = (p_values <= 0.05).any(axis=1).mean()
    together = np.mean([(holm(of_draw) <= 0.05).any() for of_draw in p_values])
    assert 0.02 <= together <= 0.057
    assert alone > together + 0.04  # three tests without a correction find something in some 12 % of draws


@pytest.mark.parametrize(
    ("draws", "least", "most"), [(300, 0.905, 0.985), pytest.param(2000, 0.92, 0.97, marks=pytest.mark.slow)]
)
def test_the_bootstrap_interval_covers_the_mean(draws, least, most):
    generator = np.random.default_rng(11)
    truth = np.exp(-2 + 0.5**2 / 2) * (1 + 2 * 0.1 * np.mean(1 / np.sqrt([1, 2, 3, 4])))
    found = [bootstrap_mean(patients_errors(generator, 1, 1)[0, 0], seed=draw) for draw in range(draws)]
    assert least <= np.mean([low <= truth <= high for low, high in found]) <= most
