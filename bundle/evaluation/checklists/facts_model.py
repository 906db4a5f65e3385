"""What a study says of its networks: their form, their losses, their initial weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..report.collect import Run
from ..report.model_size import PAPER_SIZE, generator_of
from .study import CARD, NO_RECORD, RECORD, Known, Said, Study

__all__ = ["FACTS"]

_NAMES = {"num_downsamples": "down-samplings", "num_blocks": "residual blocks", "num_layers": "strided convolutions"}


def technique(study: Study) -> list[Said]:
    gammas = study.gammas
    kinds = ["CycleGAN"] if "0" in gammas else []
    kinds += ["Seg-CycleGAN, a CycleGAN with lesion-masked losses"] if set(gammas) - {"0"} else []
    return [Known(f"Trained here: {' and '.join(kinds)}.", f"{CARD}: gamma")] if kinds else []


def comparison(study: Study) -> list[Said]:
    gammas = study.gammas
    if not gammas:
        return []
    names = ", ".join("0 (plain CycleGAN)" if gamma == "0" else gamma for gamma in gammas)
    return [
        Known(
            f"Compared here: weight gamma of the masked losses {names}."
            if len(gammas) > 1
            else f"One weight gamma of the masked losses was trained: {names}.",
            f"{CARD}: gamma",
        )
    ]


def architecture(study: Study) -> list[Said]:
    generators = study.values(lambda run: _described("generator", generator_of(run)))
    discriminators = study.values(lambda run: _described("discriminator", _own(run, "disc_des")))
    found: list[Said] = [
        Known(f"Generators (LE to DES, and DES to LE of the same form): {words}.", f"{CARD}: network")
        for words in generators
        if words
    ]
    found += [
        Known(f"Discriminators (one for DES, one for LE of the same form): {words}.", f"{RECORD}: config#disc_des")
        for words in discriminators
        if words
    ]
    return [*found, Known(f"The paper, for comparison: {PAPER_SIZE}.", "arXiv 2505.03018")] if found else [NO_RECORD]


def _own(run: Run, key: str) -> dict[str, Any]:
    """A network of a config, where it is one of ours."""
    network = (run.run.get("config") or {}).get(key)
    ours = isinstance(network, dict) and str(network.get("_target_", "")).startswith("bundle.networks.")
    return {name: value for name, value in network.items() if not name.startswith("_")} if ours else {}  # type: ignore


def _described(kind: str, settings: Mapping[str, Any]) -> str | None:
    if not settings:
        return None
    words = "ResNet" if kind == "generator" else "PatchGAN"
    values = ", ".join(f"{_NAMES.get(name, name.replace('_', ' '))} {value}" for name, value in settings.items())
    count = _parameters(kind, settings)
    return f"{words}, {values}{f'; {count:,} parameters each (counted by building it)' if count else ''}"


def _parameters(kind: str, settings: Mapping[str, Any]) -> int | None:
    import torch

    from ...networks import PatchDiscriminator, ResnetGenerator

    try:
        with torch.device("meta"):
            network = (ResnetGenerator if kind == "generator" else PatchDiscriminator)(**settings)
    except (TypeError, ValueError):  # of another version
        return None
    return sum(parameter.numel() for parameter in network.parameters())


def input_output(study: Study) -> list[Said]:
    sizes = study.values(lambda run: run.card.get("image_size") or (run.run.get("config") or {}).get("image_size"))
    shape = f"{' or '.join(sizes)} pixels square" if sizes else "square"
    return [
        Known(
            f"Input: one LE image, one channel, {shape}, in [0, 1]. Output: one virtual DES, the same shape and range. "
            "In use the LE to DES generator alone is computed; no lesion map is needed.",
            f"{CARD}: image_size; docs/README.md",
        )
    ]


def losses(study: Study) -> list[Said]:
    cycle, identity = study.config("lambda_cycle"), study.config("lambda_identity")
    if not cycle or not identity:
        return [NO_RECORD]
    gammas, reduction = study.gammas, study.config("lesion_reduction")
    said = (
        f"Generators: least-squares adversarial + {' or '.join(cycle)} x cycle (L1) + {' or '.join(identity)} x "
        "identity (L1); discriminators: least squares."
    )
    if set(gammas) == {"0"}:
        masked = "No masked losses (gamma 0)."
    else:
        per = {"image": "all pixels of the image", "lesion": "the pixels of the lesion"}
        over = " or ".join(per.get(one, one) for one in reduction)
        weighted = ", ".join(gamma for gamma in gammas if gamma != "0")
        masked = (
            f"Cycle and identity have twins inside the lesion map, weighted by gamma ({weighted}) and averaged over "
            f"{over or 'an area that is not recorded'}{'; with gamma 0 there are none' if '0' in gammas else ''}."
        )
    return [Known(f"{said} {masked}", f"{RECORD}: config#lambda_cycle, lambda_identity, gamma, lesion_reduction")]


def initialisation(study: Study) -> list[Said]:
    starts = study.values(_start)
    seeds = study.values(lambda run: run.run.get("seed", run.card.get("seed")))
    if not starts:
        return [NO_RECORD]
    text = f"Networks start from {' or '.join(starts)}; seed {' or '.join(seeds) or 'not recorded'}."
    return [Known(text, f"{RECORD}: config#init_checkpoint, network_def, seed"), *_pretraining(study)]


def _start(run: Run) -> str | None:
    config = run.run.get("config") or {}
    if "init_checkpoint" not in config:
        return None
    if config["init_checkpoint"] is not None:
        return "the networks of pre-training"
    network = _own(run, "network_def")
    std = network.get("init_std")
    drawn = f", normal with SD {std:g}" if std else ", PyTorch's own" if network else ""
    return f"random weights{drawn}"


def _pretraining(study: Study) -> list[Said]:
    return [
        Known(
            f"Pre-training on {_list_of(run)}: gamma {_recorded(run.card.get('gamma'))}, kept epoch "
            f"{_recorded(run.card.get('epoch'))}.",
            f"pretrain/{CARD}, pretrain/{RECORD}",
        )
        for run in study.collection.pretraining
    ]


def _list_of(run: Run) -> str:
    return run.card.get("datalist") or (run.run.get("provenance") or {}).get("datalist") or "a list of unknown name"


def _recorded(value: Any) -> str:
    return "not recorded" if value is None else str(value)


FACTS = {
    fact.__name__: fact
    for fact in (
        technique,
        comparison,
        architecture,
        input_output,
        losses,
        initialisation,
    )
}
