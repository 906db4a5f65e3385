"""What a study says of its networks: their form, their losses, their initial weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..report.collect import Run
from ..report.model_size import PAPER_SIZE, generator_of
from .study import CARD, NO_RECORD, RECORD, Known, Said, Study, on_pairs
from .wording import is_number

if TYPE_CHECKING:
    from torch import nn

__all__ = ["FACTS"]

_NAMES = {
    "num_downsamples": "down-samplings",
    "num_blocks": "residual blocks",
    "num_layers": "strided convolutions",
    "num_res_units": "units a residual block",
}
_FORMS = {"resnet": "ResNet", "unet": "U-Net", "autoencoder": "convolutional autoencoder"}
# discriminators by their root key
_DISCRIMINATORS = {
    "disc_des": "Discriminators (one for DES, one for LE of the same form)",
    "disc_pair": "Discriminator of LE and DES side by side",
    "disc_crops": "Discriminator of crops around lesions",
}
_REFERENCE = re.compile(r"@(\w+)#(\w+)")


def technique(study: Study) -> list[Said]:
    gammas = study.gammas
    kinds = ["CycleGAN"] if "0" in gammas else []
    kinds += ["Seg-CycleGAN, a CycleGAN with lesion-masked losses"] if set(gammas) - {"0"} else []
    found: list[Said] = [Known(f"Trained here: {' and '.join(kinds)}.", f"{CARD}: gamma")] if kinds else []
    return [*found, *_other_methods(study, "Trained here beyond the paper's method")]


def comparison(study: Study) -> list[Said]:
    gammas = study.gammas
    names = ", ".join("0 (plain CycleGAN)" if gamma == "0" else gamma for gamma in gammas)
    text = (
        f"Compared here: weight gamma of the masked losses {names}."
        if len(gammas) > 1
        else f"One weight gamma of the masked losses was trained: {names}."
    )
    found: list[Said] = [Known(text, f"{CARD}: gamma")] if gammas else []
    return [*found, *_other_methods(study, "Compared with it" if gammas else "Compared here")]


def _other_methods(study: Study, words: str) -> list[Said]:
    return [Known(f"{words}: {'; '.join(study.of_methods)}.", f"{CARD}: method")] if study.of_methods else []


def architecture(study: Study) -> list[Said]:
    found: list[Said] = []
    for method, runs in study.by_method:
        alone = all(map(on_pairs, runs))
        which = "Generator (LE to DES alone)" if alone else "Generators (LE to DES, and DES to LE of the same form)"
        for words in filter(None, study.values(_generator, runs)):
            found.append(Known(f"{method}{which}: {words}.", f"{CARD}: network"))
        for key, seen in _DISCRIMINATORS.items():
            having = [run for run in runs if key != "disc_des" or not on_pairs(run)]
            for words in filter(None, study.values(lambda run, key=key: _discriminator(run, key), having)):  # type: ignore[misc]
                found.append(Known(f"{method}{seen}: {words}.", f"{RECORD}: config#{key}"))
    return [*found, Known(f"The paper, for comparison: {PAPER_SIZE}.", "arXiv 2505.03018")] if found else [NO_RECORD]


def _own(run: Run, key: str) -> dict[str, Any]:
    """A network of a config, where it is one of ours, with what its references to other keys stand for."""
    config = run.run.get("config") or {}
    network = config.get(key)
    ours = isinstance(network, dict) and str(network.get("_target_", "")).startswith("bundle.networks.")
    return {name: _meant(config, value) for name, value in network.items() if not name.startswith("_")} if ours else {}  # type: ignore


def _meant(config: Mapping[str, Any], value: Any) -> Any:
    """The value of another root key that an argument refers to (``@disc_des#width``)."""
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    other = config.get(found[1]) if found else None
    return other.get(found[2], value) if found and isinstance(other, dict) else value


def _generator(run: Run) -> str | None:
    from ...networks import generator_of_card

    settings = generator_of(run)
    form = _FORMS.get(settings.get("name", "resnet"), str(settings.get("name")))
    layers = {name: value for name, value in settings.items() if name != "name"}
    return _described(form, layers, lambda: generator_of_card(settings), "" if on_pairs(run) else " each")


def _discriminator(run: Run, key: str) -> str | None:
    from ...networks import PatchDiscriminator

    settings = _own(run, key)
    each = " each" if key == "disc_des" else ""
    return _described("PatchGAN", settings, lambda: PatchDiscriminator(**settings), each)


def _described(
    form: str, settings: Mapping[str, Any], build: Callable[[], nn.Module], each: str = " each"
) -> str | None:
    if not settings:
        return None
    values = ", ".join(f"{_NAMES.get(name, name.replace('_', ' '))} {value}" for name, value in settings.items())
    count = _parameters(build)
    return f"{form}, {values}{f'; {count:,} parameters{each} (counted by building it)' if count else ''}"


def _parameters(build: Callable[[], nn.Module]) -> int | None:
    import torch

    try:
        with torch.device("meta"):
            network = build()
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
    found = [*(_losses_of_the_paper(study) if study.of_the_paper else [])]
    for name, runs in study.of_methods.items():
        said = study.values(_objective, runs) or ["what it minimises is not recorded"]
        found.append(Known(f"{name}: {' Or: '.join(said)}", f"{RECORD}: config#about, config#train#trainer"))
    return found or [NO_RECORD]


def _objective(run: Run) -> str | None:
    """What a method minimises: in the words of its overlay, and of a generator on pairs as its trainer has it."""
    config = run.run.get("config") or {}
    about = str(config.get("about") or "").split(" python -m ")[0].strip()
    if not on_pairs(run) or not isinstance(config.get("train"), dict):
        return about or None
    trainer = config["train"]["trainer"]
    weight = config.get("lesion_weight") or 0
    counted = f", a lesion pixel counted {1 + weight:g} times" if is_number(weight) and weight else ""
    said = f"Minimised on pairs: {trainer.get('weight', 1):g} x mean L1 of virtual and real DES{counted}"
    if isinstance(config.get("pair_discriminator"), dict):
        said += f" + {config['pair_discriminator'].get('weight', 1):g} x least-squares adversarial"
    # behind the first part of an overlay's sentence stands how to use it
    return f"{about.split(';')[0].rstrip('.')}. {said}."


def _losses_of_the_paper(study: Study) -> list[Said]:
    own = study.of_the_paper
    cycle, identity = study.config("lambda_cycle", own), study.config("lambda_identity", own)
    if not cycle or not identity:
        return [NO_RECORD]
    gammas, reduction = study.gammas, study.config("lesion_reduction", own)
    said = (
        f"Generators: least-squares adversarial + {' or '.join(cycle)} x cycle (L1) + {' or '.join(identity)} x "
        "identity (L1); discriminators: least squares."
    )
    if not set(gammas) - {"0"}:
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
