"""Sums that stay on the device."""

from __future__ import annotations

import pytest
import torch

from bundle.engines import running_means
from bundle.engines.running_means import RunningMeans


def test_means_of_tensors_and_numbers():
    means = RunningMeans()
    assert means.means() == {}
    for value in (1.0, 2.0, 6.0):
        means.add({"a": torch.tensor(value), "b": 2 * value})
    assert means.means() == pytest.approx({"a": 3.0, "b": 6.0})
    means.clear()
    means.add({"a": 5.0})
    assert means.means() == {"a": 5.0}


def test_no_graph_is_kept():
    means = RunningMeans()
    means.add({"a": torch.ones((), requires_grad=True) * 2})
    assert not means._sums["a"].requires_grad


def test_means_are_over_all_processes(monkeypatch):
    monkeypatch.setattr(running_means.idist, "get_world_size", lambda: 2)
    monkeypatch.setattr(running_means.idist, "all_reduce", lambda values: values + 3.0)
    means = RunningMeans()
    means.add({"a": 1.0})
    assert means.means() == {"a": 2.0}
