"""A trained model in the form that others take.

``python -m scripts.export torchscript | onnx | openvino`` write it as files of these runtimes, compared with torch;
``zoo`` as a bundle for the MONAI Model Zoo; ``hub`` tells what an upload of that bundle to Hugging Face would do.
``weights`` writes the model of an evaluated run with a card that a stranger can use it by.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .command_line import call

if TYPE_CHECKING:
    from monai.bundle import ConfigParser

FLOORS = ("floor_le", "floor_constant")
CONFIGS = Path(__file__).parents[1] / "configs"
MAKE = (
    "A training writes a model and its card: python -m monai.bundle run training --config_file configs/train.json\n"
    "make quickstart does so in minutes, with a small model on a phantom."
)


def torchscript(
    output: str,
    ckpt_path: str | None = None,
    images: str | None = None,
    number: int = 4,
    native: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a TorchScript file, which runs wherever torch does, without this package.

    Args:
        output: the file to write, .ts.
        ckpt_path: the model, its card beside it; null for models/model.pt or, without one, the weights that ship.
        images: LE images to compare on: a file, a folder, a datalist; null for data/phantom, or a phantom made for it.
        number: of images to compare on at the model's size.
        native: compare also on a whole image of its native size; at the paper's width that takes minutes and 9 GB.
        overwrite: replace the file.
    """
    _write("torchscript", output, ckpt_path, images, number, native, overwrite)


def onnx(
    output: str,
    ckpt_path: str | None = None,
    images: str | None = None,
    number: int = 4,
    native: bool = False,
    overwrite: bool = False,
) -> None:
    """Write an ONNX file.

    Args:
        output: the file to write, .onnx.
        ckpt_path: the model, its card beside it; null for models/model.pt or, without one, the weights that ship.
        images: LE images to compare on: a file, a folder, a datalist; null for data/phantom, or a phantom made for it.
        number: of images to compare on at the model's size.
        native: compare also on a whole image of its native size; at the paper's width that takes minutes and 9 GB.
        overwrite: replace the file.
    """
    _write("onnx", output, ckpt_path, images, number, native, overwrite)


def openvino(
    output: str,
    ckpt_path: str | None = None,
    images: str | None = None,
    number: int = 4,
    native: bool = False,
    overwrite: bool = False,
) -> None:
    """Write an OpenVINO model: the network as .xml, and its weights beside it as .bin.

    Args:
        output: the file to write, .xml.
        ckpt_path: the model, its card beside it; null for models/model.pt or, without one, the weights that ship.
        images: LE images to compare on: a file, a folder, a datalist; null for data/phantom, or a phantom made for it.
        number: of images to compare on at the model's size.
        native: compare also on a whole image of its native size; at the paper's width that takes minutes and 9 GB.
        overwrite: replace both files.
    """
    _write("openvino", output, ckpt_path, images, number, native, overwrite)


def zoo(output: str, ckpt_path: str | None = None, weights_url: str | None = None, overwrite: bool = False) -> None:
    """Write a bundle in the form of the MONAI Model Zoo, which works where this package is not installed.

    Args:
        output: the folder that receives the bundle.
        ckpt_path: the model, its card beside it; null for models/model.pt or, without one, the weights that ship.
        weights_url: where the weights lie, for large_files.yml; null leaves a placeholder.
        overwrite: replace a bundle that is there.
    """
    from bundle.integrations.zoo import write_zoo_bundle

    root = write_zoo_bundle(output, _model(ckpt_path), weights_url=weights_url, overwrite=overwrite)
    print(f"{root}: {_files(root)}\n{root.with_name(f'test_{root.name}.py')}: its test, for the zoo's ci/unit_tests")


def hub(
    repo: str,
    output: str = "eval/hub",
    ckpt_path: str | None = None,
    weights_url: str | None = None,
    private: bool = True,
    overwrite: bool = False,
) -> None:
    """Prepare an upload of the Model Zoo bundle to the Hugging Face Hub; nothing is sent, and no network is used.

    Args:
        repo: USER/NAME of the repository.
        output: a folder with a bundle that "zoo" wrote, or one that receives it.
        ckpt_path: as of "zoo", for a bundle that is not there yet.
        weights_url: as of "zoo".
        private: whether only its owner sees the repository.
        overwrite: make the bundle anew.
    """
    from bundle.integrations.export import plan_upload, repo_problems

    if problems := repo_problems(repo):
        raise ValueError("\n".join(problems))
    root = None if overwrite else _bundle_at(Path(output))
    if root is not None:
        print(f"{root} is taken as it is; --overwrite makes it anew\n")
    else:
        from bundle.integrations.zoo import write_zoo_bundle

        root = write_zoo_bundle(output, _model(ckpt_path), weights_url=weights_url, overwrite=overwrite)
    version = json.loads((root / "configs/metadata.json").read_text(encoding="utf-8"))["version"]
    upload = plan_upload(root, repo, version, private)
    foreign = set(upload.foreign)
    for name, size in upload.files:
        print(f"{size:>12,}  {name}{'  <- not written by the export' if name in foreign else ''}")
    print(f"{upload.root}: {_files(upload.root)}\n")
    print(f"and README.md, which is docs/README.md behind\n{upload.front_matter}\n")
    print(f"Nothing was sent. The upload, as {upload.visibility} repository:\n{upload.command}")
    if upload.problems:
        raise SystemExit("\nIt would be refused:\n" + "\n".join(upload.problems))


def weights(
    run: str,
    output: str,
    licence: str,
    attribution: str,
    name: str | None = None,
    method_note: str | None = None,
    command: str | None = None,
    most_mb: float = 12.0,
    overwrite: bool = False,
) -> None:
    """Write a run's model as weights to give away, its card with data, licence, cost and results on the test part.

    Args:
        run: the folder of a training that was evaluated on its test part, with models/ and eval/.
        output: the weights to write, .pt; their card lies beside them.
        licence: of the weights, such as "CC BY 4.0".
        attribution: whom to name for the data that the model has seen.
        name: of the model; null keeps that of its card, and never the paper's for another method.
        method_note: what a reader must know of the method.
        command: what makes the run again.
        most_mb: the largest file of weights, in 10^6 bytes.
        overwrite: replace both files.
    """
    from bundle.integrations.export.weights import write_weights

    card = write_weights(run, output, licence, attribution, name, method_note, command, most_mb, overwrite)
    results = card["results"]
    print(f"{output}: {card['name']}, {Path(output).stat().st_size / 1e6:.1f} MB, and its card")
    print(f"test part: {results['images']} images of {results['women']} women, 95 % intervals over women")
    for metric, found in results["metrics"].items():
        print(
            f"  {metric}: {_shown(found)}" + "".join(f", {key} {_shown(found[key])}" for key in FLOORS if key in found)
        )


def _shown(found: dict[str, Any]) -> str:
    value, low, high = (found[key] for key in ("value", "low", "high"))
    return f"{value}" + ("" if low is None else f" ({low} to {high})")


def _model(ckpt_path: str | None) -> str:
    """The model of a command that was told none, and a line that says it where it is one that ships."""
    from bundle.networks.weights import default_model

    if ckpt_path is not None:
        return ckpt_path
    chosen = str(Path(default_model(".")))
    if chosen != "models/model.pt":
        print(f"there is no models/model.pt: {chosen} is taken")
    return chosen


def _bundle_at(folder: Path) -> Path | None:
    """A bundle in a folder, or right below it."""
    found = [*folder.glob("configs/metadata.json"), *folder.glob("*/configs/metadata.json")]
    return found[0].parents[1] if len(found) == 1 else None


def _files(root: Path) -> str:
    sizes = [path.stat().st_size for path in root.rglob("*") if path.is_file()]
    return f"{len(sizes)} files, {sum(sizes) / 1e6:.1f} MB"


def _inference(ckpt_path: str, **settings: Any) -> ConfigParser:
    """``inference.json`` for a model, on the CPU."""
    import torch
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(CONFIGS / "inference.json"))
    parser.update({"ckpt_path": str(ckpt_path), "device": torch.device("cpu")} | settings)
    return parser


def _trained(parser: ConfigParser, ckpt_path: str) -> Any:
    """The generator of a model."""
    from bundle.networks.weights import load_weights

    try:
        return load_weights(ckpt_path, parser.get_parsed_content("network_def"))
    except ValueError as error:
        raise ValueError(f"{error}\n{MAKE}") from None


def _write(
    form: str, output: str, ckpt_path: str | None, images: str | None, number: int, native: bool, overwrite: bool
) -> None:
    from bundle.integrations.export import FORMS, describe, export_problems, take_sample, write_export
    from bundle.networks.weights import card_problems

    ckpt_path = _model(ckpt_path)
    problems = [f"{problem}\n{MAKE}" for problem in card_problems(ckpt_path)]
    if problems := [*problems, *export_problems(output, form, overwrite)]:
        raise ValueError("\n".join(problems))
    parser = _inference(ckpt_path)
    network, card = _trained(parser, ckpt_path), parser.get_parsed_content("card")
    phantom = parser.get_parsed_content("dataset_dir")
    sample = take_sample(
        images or (phantom if Path(phantom).is_dir() else None),
        parser.get_parsed_content("preprocessing"),
        _inference(ckpt_path, image_size="native").get_parsed_content("preprocessing"),
        number,
        native,
    )
    metadata = json.loads((CONFIGS / "metadata.json").read_text(encoding="utf-8"))
    metadata = describe(card, metadata, **FORMS[form].versions())
    differences = write_export(network, output, form, metadata, sample.images, overwrite)
    for suffix in FORMS[form].suffixes:
        path = Path(output).with_suffix(suffix)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    print(f"compared with torch in fp32 on {sample.about}, range 0 to 1:")
    print("\n".join(f"  {each}" for each in differences))


if __name__ == "__main__":
    try:
        call(torchscript, onnx, openvino, zoo, hub, weights)
    except (ValueError, OSError, RuntimeError) as error:
        raise SystemExit(str(error)) from None
