"""Numbers to judge the project by.

``python -m scripts.benchmark train | infer | dicom | loader`` measure how fast it is against what one would take
instead; ``cost`` turns the measured steps into hours and money; ``phantom`` compares phantom pairs with real ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .command_line import call

CDD_CESM = Path("data/cdd_cesm/datalist.json")
CONFIGS = Path(__file__).parents[1] / "configs"
# beside bf16, what configs/fast.json changes
FAST_CPU = "fused=True,channels_last=True"
FAST_CUDA = "fused=True,batched_calls=True,compile=reduce-overhead,deterministic=False"


def phantom(
    datalist: str | None = None,
    output: str = "eval/phantom_realism",
    pairs: int = 200,
    part: str = "report",
    seed: int = 0,
    classifier: bool = True,
    num_workers: int | None = None,
) -> None:
    """Compare phantom pairs with the real malignant pairs of a datalist: tables, galleries and a classifier.

    Args:
        datalist: of the real pairs; null takes CDD-CESM's where the README makes it, data/cdd_cesm/datalist.json.
        output: the folder to write.
        pairs: number of phantom pairs.
        part: report | tune, the half of the real women; the phantom is tuned on one and reported on the other.
        seed: of the phantoms and of all that is drawn.
        classifier: also train a network to tell the two apart; some two minutes.
        num_workers: processes; null uses every core.
    """
    from bundle.phantom.realism.report import write_report

    if datalist is None and CDD_CESM.is_file():
        datalist = str(CDD_CESM)
    if datalist is None:
        raise ValueError(
            "--datalist is missing: expected the datalist.json of real pairs. Make one of CDD-CESM, which is free to "
            "download: python -m scripts.prepare cdd_cesm --root ROOT --output OUTPUT"
        )
    report = write_report(
        str(datalist),
        str(output),
        pairs=pairs,
        part=part,
        seed=seed,
        classifier=classifier,
        num_workers=num_workers,
    )
    print(report.text)
    print(f"\n{report.folder}: comparison.md, comparison.csv, pairs.csv, gallery.png, distributions.png")


def train(
    output: str = "eval/benchmark/train.json",
    image_size: int = 256,
    batch_size: int = 1,
    repeats: int = 5,
    levers: str | None = None,
    gamma: float = 35.0,
    reference: str | None = None,
    equality_size: int = 128,
    width: int = 64,
    num_blocks: int = 9,
    apart: bool = True,
    device: str | None = None,
    scaling: bool = False,
    image_sizes: str = "128,256,512,1024",
    batch_sizes: str = "1,2,4,8,16",
    cases: str = "100,300,1000,3000,10000",
    start_up: bool = True,
    config_file: str = str(CONFIGS / "train.json"),
) -> None:
    """Time the training step against the reference implementation's, or what it costs as the work grows.

    Args:
        output: the JSON to write.
        image_size: pixels of a side.
        batch_size: pairs of a step.
        repeats: rounds that count, after one that does not.
        levers: of compile, channels_last, batched_calls, micro_batch_size, fused, deterministic, for the rows "levers",
            as compile=default,fused=True; "" leaves the rows out, null takes those of configs/fast.json for the device.
        gamma: of the row with lesion losses.
        reference: a checkout of junyanz/pytorch-CycleGAN-and-pix2pix, whose own model class is timed too (on the CPU).
        equality_size: pixels at which losses and gradients are compared first.
        width: of the networks; 64 is the paper's.
        num_blocks: of the generators; 9 is the paper's.
        apart: each variant in a process of its own; False is quick, measures no memory and is for no table.
        device: null for CUDA where there is one.
        scaling: instead, a step by image size and batch, an epoch by cases, and the start-up.
        image_sizes: of --scaling, pixels.
        batch_sizes: of --scaling, pairs.
        cases: of --scaling.
        start_up: of --scaling, also from import to the first step.
        config_file: what builds the product's networks and optimisers.
    """
    from bundle.benchmark.train import measure_scaling, measure_steps
    from bundle.benchmark.training_steps import StepVariant

    base = StepVariant(
        "plain",
        config_file,
        image_size=image_size,
        batch_size=batch_size,
        width=width,
        num_blocks=num_blocks,
        device=_device(device),
        reference=reference,
    )
    if scaling:
        sizes, batches = _numbers(image_sizes, "image_sizes"), _numbers(batch_sizes, "batch_sizes")
        _tell(measure_scaling(base, sizes, batches, _numbers(cases, "cases"), repeats, start_up), output)
    else:
        levers = (FAST_CUDA if base.device.startswith("cuda") else FAST_CPU) if levers is None else levers
        _tell(measure_steps(base, _pairs(levers), repeats, equality_size, gamma, apart), output)


def infer(
    output: str = "eval/benchmark/infer.json",
    ckpt_path: str | None = None,
    image_sizes: str = "256",
    batch_size: int = 1,
    backends: str | None = None,
    repeats: int = 10,
    native: bool = False,
    width: int = 64,
    num_blocks: int = 9,
    memory: bool = True,
    device: str | None = None,
) -> None:
    """Time the generator by each backend against the plain network as PyTorch runs it.

    Args:
        output: the JSON to write.
        ckpt_path: a trained model.pt with its card; null draws weights.
        image_sizes: pixels, such as 256,512,1024.
        batch_size: images at once.
        backends: such as "torch bf16,openvino bf16"; null takes all that are installed.
        repeats: rounds that count, after one that does not.
        native: also a whole mammogram of 2850 x 2396, with the peak memory of each backend, above its imports; the
            backends come one after the other.
        width: of drawn weights.
        num_blocks: of drawn weights.
        memory: also the peak memory of each backend.
        device: null for CUDA where there is one.
    """
    from bundle.benchmark.infer import BACKENDS, measure_inference

    result = measure_inference(
        ckpt_path,
        _numbers(image_sizes, "image_sizes"),
        batch_size,
        _words(backends) if backends else tuple(BACKENDS),
        repeats,
        (2850, 2396) if native else None,
        width,
        num_blocks,
        memory,
        _device(device),
    )
    _tell(result, output)


def dicom(
    output: str = "eval/benchmark/dicom.json",
    dataset_dir: str | None = None,
    ckpt_path: str | None = None,
    syntaxes: str = "uncompressed,jpeg2000",
    backends: str | None = None,
    images: int = 8,
    repeats: int = 8,
    rows: int = 2850,
    width: int = 64,
    num_blocks: int = 9,
    configs: str = str(CONFIGS),
) -> None:
    """Time DICOM to DICOM by the project's configs against stock MONAI transforms, in one process.

    Args:
        output: the JSON to write.
        dataset_dir: LE objects of the syntax that is measured; null makes phantoms of 2850 x 2396.
        ckpt_path: a trained model.pt with its card; null draws weights.
        syntaxes: uncompressed,jpeg2000 or one of them.
        backends: such as "torch fp32,openvino bf16"; null takes all that are installed.
        images: LE objects that take turns.
        repeats: rounds that count, an image each.
        rows: height of the phantoms.
        width: of drawn weights.
        num_blocks: of drawn weights.
        configs: folder of inference.json and inference_dicom.json.
    """
    from bundle.benchmark.dicom import BACKENDS, measure_dicom

    result = measure_dicom(
        configs,
        dataset_dir,
        ckpt_path,
        _words(syntaxes),
        _words(backends) if backends else tuple(BACKENDS),
        images,
        repeats,
        rows,
        width,
        num_blocks,
    )
    _tell(result, output)


def loader(
    output: str = "eval/benchmark/loader.json",
    image_size: int = 256,
    batch_size: int = 8,
    cases: str = "100,300,1000,3000,10000",
    repeats: int = 5,
    rows: int = 2850,
    columns: int = 2396,
    device: str | None = None,
) -> None:
    """Time the loader, from cached cases to augmented batches, against transforms case by case.

    Args:
        output: the JSON to write.
        image_size: pixels of a side.
        batch_size: pairs of a batch.
        cases: numbers of cases; the first decides the ratios.
        repeats: epochs that count, after one that does not.
        rows: of the image whose percentiles are taken.
        columns: of that image.
        device: where the batches are augmented; null for CUDA where there is one.
    """
    from bundle.benchmark.loader import measure_loader

    numbers = _numbers(cases, "cases")
    _tell(measure_loader(image_size, batch_size, numbers, repeats, (rows, columns), _device(device)), output)


def cost(
    measured: str = "eval/benchmark/train.json",
    output: str | None = None,
    pairs: int = 1139,
    pretrain_pairs: int = 1003,
    folds: int = 10,
    gammas: int = 3,
    epochs: int = 200,
    image_size: int = 256,
    batch_size: int = 8,
    precision: str = "fp32",
    variant: str | None = None,
    gpus: int = 1,
    gpus_per_run: float = 1.0,
    sharing_gain: float = 1.0,
    pretrain_gpus: int = 1,
    parallel_efficiency: float = 0.9,
    accelerators: str = "A100,H100",
    utilisation: Any = None,
    price: Any = None,
) -> None:
    """What the protocol costs, at most, from steps that "train" measured; what is not measured is marked an estimate.

    Args:
        measured: the JSON of "python -m scripts.benchmark train".
        output: also write the figures there, as JSON.
        pairs: of stage 2, over all folds; the default is the paper's clinical set.
        pretrain_pairs: of stage 1, over all folds; 0 leaves it out; the default is CDD-CESM.
        folds: of the cross-validation.
        gammas: number of models a fold.
        epochs: of each training, at most.
        image_size: pixels of a side.
        batch_size: pairs of a step.
        precision: fp32, bf16 or fp16.
        variant: the row of the measured step; null takes "fp32, lesion losses" for fp32 and "bf16, levers" for bf16,
            as train.json and fast.json train, and the plain "fp32" or "bf16" where that was not measured.
        gpus: number of workers (GPUs, or machines without one).
        gpus_per_run: part of a worker that a run takes, as of scripts.cross_validate.
        sharing_gain: how much more runs that share a worker get done together than one alone; an assumption.
        pretrain_gpus: on which stage 1 runs, data-parallel.
        parallel_efficiency: of that; an assumption.
        accelerators: also on these, by their data sheets: A100, H100, H200; "" for none.
        utilisation: of their peak, lowest, likely and highest share, such as 0.1,0.2,0.35; an assumption.
        price: of an hour of a worker, one number or by name, such as "{'H100': 3.0}".
    """
    from dataclasses import asdict

    from bundle.data.whole_files import write_json
    from bundle.experiments.cost import Fleet, Protocol, cost_table, costs_of
    from bundle.experiments.measured_step import Measured

    protocol = Protocol(pairs, pretrain_pairs, folds, gammas, epochs, image_size, batch_size, precision)
    fleet = Fleet(gpus, gpus_per_run, sharing_gain, pretrain_gpus, parallel_efficiency)
    costs = costs_of(
        Measured.read(measured), protocol, fleet, _words(accelerators), variant, utilisation=utilisation, price=price
    )
    print(cost_table(costs, fleet))
    if output is not None:
        content = {"command": "cost", "protocol": asdict(protocol), "fleet": asdict(fleet)}
        write_json(Path(output), content | {"costs": [asdict(each) for each in costs]})
        print(f"\n{output}")


def _tell(result: Any, output: str) -> None:
    """Print and write what was found; what is not equal ends the command."""
    print(result.as_text())
    if not result.equal:
        raise SystemExit("\nThe results differ by more than their bounds, so nothing was timed.")
    print(f"\n{result.write(output)}")


def _device(device: str | None) -> str:
    import torch

    return device or ("cuda" if torch.cuda.is_available() else "cpu")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.strip("[]() ").split(",") if word.strip()]


def _numbers(text: str, name: str) -> list[int]:
    words = _words(text)
    if not words or not all(word.isdigit() and int(word) > 0 for word in words):
        raise ValueError(f"--{name} is {text!r}, expected whole numbers above 0, such as 128,256.")
    return [int(word) for word in words]


def _pairs(text: str) -> dict[str, Any]:
    """``compile=default,micro_batch_size=2`` as a dictionary; True, False, None and whole numbers are what they say."""
    words = {"True": True, "False": False, "None": None}
    pairs = {}
    for word in _words(text):
        key, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"--levers holds {word!r}, expected KEY=VALUE, such as compile=default,fused=True.")
        value = value.strip()
        pairs[key.strip()] = int(value) if value.lstrip("-").isdecimal() else words.get(value, value)
    return pairs


if __name__ == "__main__":
    try:
        call(phantom, train, infer, dicom, loader, cost, by_name=True)
    except (ValueError, OSError, RuntimeError) as error:
        raise SystemExit(str(error)) from None
