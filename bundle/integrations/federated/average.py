"""Federated averaging: one set of weights out of those that several sites have trained."""

from __future__ import annotations

from collections.abc import Mapping

import torch

__all__ = ["average_weights"]

Weights = Mapping[str, torch.Tensor]


def average_weights(weights: Mapping[str, Weights], cases: Mapping[str, int]) -> dict[str, torch.Tensor]:
    """The mean of the sites' weights, each weighed by its number of cases (FedAvg, McMahan et al. 2017, algorithm 1).

    Differences of weights (``MonaiAlgo(send_weight_diff=True)``) are averaged in the same way. It is computed in double
    precision as the first site's values plus the mean of the others' differences from them, so that sites that agree
    give what they agree on, bit for bit.

    Args:
        weights: by site, the state dict of the four networks: floating point of one shape at all sites.
        cases: by site, the number of its training pairs.

    Returns:
        state dict of the first site's types, on its devices; no tensor is shared with a site.

    Raises:
        ValueError: with everything in which the sites do not fit together.
    """
    problems = _problems(weights, cases)
    if problems:
        listed = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(problems, start=1))
        raise ValueError(f"the sites' weights cannot be averaged, {len(problems)} problem(s):\n{listed}")
    first, *others = weights
    total = sum(cases[site] for site in weights)
    averaged = {}
    for name, value in weights[first].items():
        mean = value.detach().double().clone()
        for site in others:
            other = weights[site][name].detach().to(value.device).double()
            mean += (other - value.double()) * (cases[site] / total)
        averaged[name] = mean.to(value.dtype)
    return averaged


def _problems(weights: Mapping[str, Weights], cases: Mapping[str, int]) -> list[str]:
    if not weights:
        return ["there is no site."]
    problems = []
    for site in dict.fromkeys([*weights, *cases]):
        if site not in cases or site not in weights:
            problems.append(f"{site} has {'no number of cases' if site in weights else 'cases, but no weights'}.")
        elif isinstance(cases[site], bool) or not isinstance(cases[site], int) or cases[site] < 1:
            problems.append(f"{site} has {cases[site]!r} cases, expected a whole number of 1 or more.")
    first = next(iter(weights))
    for site, given in weights.items():
        for sort, names in (("lacks", weights[first].keys() - given.keys()), ("adds", given.keys() - weights[first])):
            if names:
                problems.append(
                    f"{site} {sort} {len(names)} of {first}'s tensors ({min(names)}, ...). Build the same networks."
                )
        for name, value in given.items():
            if not value.is_floating_point():
                problems.append(f"{site}: {name} is {value.dtype}, which has no mean. Take norm INSTANCE, not BATCH.")
            elif name in weights[first] and value.shape != weights[first][name].shape:
                shapes = f"{tuple(value.shape)}, at {first} {tuple(weights[first][name].shape)}"
                problems.append(f"{site}: {name} is {shapes}. Build the same networks.")
            elif not torch.isfinite(value).all():
                problems.append(
                    f"{site}: {name} holds NaN or infinity. Leave the site out, or lower its learning rate."
                )
    return problems
