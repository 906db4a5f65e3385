"""What CUDA adds, and that it changes nothing else: every body also runs small on the CPU, so that it is whole.

On a machine with a GPU: ``python -m pytest -m gpu tests/gpu -s`` (``-s`` prints the benchmark's tables).
"""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from toys import make_batch, make_networks, make_trainer
from workflows_support import config_files, run

from bundle.data import write_folds
from bundle.engines.augmented_batch import AugmentedBatch
from bundle.engines.machine import set_up_machine
from bundle.handlers import LesionLossHandler, LossCurves
from bundle.phantom import write_study
from bundle.transforms import AffineDraw, RandAlignedAffined
from bundle.transforms.batch_affine import BatchAugmentation, align_batch

ROOT = Path(__file__).parents[2]
FLOAT64 = (ROOT / "tests/workflows/float64_run.py",)
IMAGES = ("virtual_des", "virtual_le", "cycle_le", "cycle_des", "identity_des", "identity_le")
no_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
CUDA = pytest.param("cuda", marks=[pytest.mark.gpu, no_cuda])
SLOW_CPU = pytest.param("cpu", marks=pytest.mark.slow)
on_both = pytest.mark.parametrize("device", ["cpu", CUDA])
# a warning of a driver or of a compiler that no machine of ours has shown must not end a run on a GPU
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(autouse=True)
def settings_of_pytorch():
    """Whatever a test sets of CUDA, the next one finds as it was."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic, cudnn.benchmark
    yield
    cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic, cudnn.benchmark = before


def trainer_on(device, batches=(), precision="fp32", width=4, handlers=(), **levers):
    """A trainer of equal weights on any device, set up as ``configs/train.json`` does it."""
    set_up_machine(device, precision, keep_memory=False)
    networks = {name: network.to(device) for name, network in make_networks(width=width).items()}
    handlers = [LesionLossHandler(35.0), *handlers]
    return make_trainer(list(batches), networks, handlers, device=device, precision=precision, **levers)


def step(device, batch, **settings):
    """Losses, images and gradients of one iteration, on the CPU."""
    trainer = trainer_on(device, [batch], **settings)
    trainer.run()
    output = {key: value.detach().cpu() for key, value in trainer.state.output.items()}
    gradients = {
        name: torch.cat([parameter.grad.flatten().cpu() for parameter in network.parameters()])
        for name, network in trainer.networks.items()
    }
    return output, gradients


def assert_near(found, expected, near):
    for key in expected:
        torch.testing.assert_close(found[key], expected[key], **near, msg=lambda text, key=key: f"{key}: {text}")


with_levers = pytest.mark.parametrize(
    "levers", [{}, {"channels_last": True}, {"batched_calls": True}, {"micro_batch_size": 1}]
)


@on_both
@with_levers
def test_a_step_in_fp32_is_that_of_the_cpu(device, levers):
    batch = make_batch(0, size=64)
    (expected, _), (found, _) = step("cpu", batch), step(device, batch, **levers)
    assert_near(found, expected, {"rtol": 1e-4, "atol": 1e-4})


@on_both
@with_levers
@pytest.mark.usefixtures("float64")
def test_gradients_in_float64_are_those_of_the_cpu(device, levers):
    """In fp32 a rounding error turns the sign of an absolute error near 0, and with it the gradient of a pixel."""
    batch = make_batch(0)
    (expected, gradients), (found, other_gradients) = step("cpu", batch), step(device, batch, **levers)
    assert_near(found, expected, {"rtol": 0, "atol": 1e-9})
    assert_near(other_gradients, gradients, {"rtol": 0, "atol": 1e-9})


@pytest.mark.parametrize(
    ("device", "precision"),
    [
        ("cpu", "bf16"),
        pytest.param("cuda", "bf16", marks=CUDA.marks),
        pytest.param("cuda", "fp16", marks=CUDA.marks),
    ],
)
def test_a_training_in_half_precision_learns_and_stays_finite(device, precision):
    steps = 60 if device == "cuda" else 12
    losses = []

    class Notes:
        def attach(self, engine):
            engine.add_event_handler(Events.ITERATION_COMPLETED, self)

        def __call__(self, engine):
            losses.append({key: value.clone() for key, value in engine.state.output.items() if key.startswith("loss")})
            assert engine.state.output["virtual_des"].dtype == torch.float32

    trainer = trainer_on(device, [make_batch(0)] * steps, precision, handlers=[Notes()])
    trainer.run()
    assert len(losses) == steps
    assert all(math.isfinite(float(value)) for each in losses for value in each.values())
    assert all(torch.isfinite(weight).all() for net in trainer.networks.values() for weight in net.parameters())
    first, last = (sum(float(each["loss"]) for each in part) for part in (losses[:3], losses[-3:]))
    assert last < 0.95 * first
    if precision == "fp16":
        assert trainer.generator_scaler.get_scale() > 1


@on_both
def test_fp32_forbids_tf32_and_the_rest_may_use_it(device):
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 64, 32, 32, generator=generator)
    weight = torch.randn(64, 64, 3, 3, generator=generator)
    exact = torch.nn.functional.conv2d(image.double(), weight.double())

    def error(precision):
        set_up_machine(device, precision, keep_memory=False)
        made = torch.nn.functional.conv2d(image.to(device), weight.to(device)).double().cpu()
        return float((made - exact).abs().max() / exact.abs().max())

    assert error("fp32") < 1e-5
    rounded = error("bf16")
    if device == "cuda" and torch.cuda.get_device_capability() >= (8, 0):
        assert 1e-5 < rounded < 1e-2
    else:
        assert rounded < 1e-5


@pytest.mark.parametrize("device", [SLOW_CPU, CUDA])
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled_steps_and_graphs_equal_eager_ones(device, mode):
    """Three steps: the first two of a graph warm up and record, the third replays. Weights drift by Adam's rounding."""
    from torch._dynamo.utils import counters

    def losses(compile):
        kept = []

        def keep(engine):
            output = engine.state.output
            kept.append({key: output[key].cpu() for key in output if key.startswith("loss") or key in IMAGES})

        trainer = trainer_on(device, [make_batch(seed) for seed in range(3)], compile=compile)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, keep)
        trainer.run()
        return kept

    counters.clear()
    eager, compiled = losses(None), losses(mode)
    for number, (one, other) in enumerate(zip(eager, compiled, strict=True)):
        near = 1e-4 if number == 0 else 2e-2
        assert_near(other, one, {"rtol": near, "atol": near})
    if device == "cuda" and mode == "reduce-overhead":
        assert counters["inductor"]["cudagraph_skips"] == 0


class NoWaiting:
    """From the second iteration on, whatever makes the host wait for the GPU within one is an error."""

    def __init__(self, device):
        self.on_gpu = device == "cuda"

    def attach(self, engine):
        engine.add_event_handler(Events.ITERATION_STARTED, self.watch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.rest)

    def watch(self, engine):
        if self.on_gpu and engine.state.iteration > 1:
            torch.cuda.synchronize()
            torch.cuda.set_sync_debug_mode("error")

    def rest(self, engine=None):
        if self.on_gpu:
            torch.cuda.set_sync_debug_mode("default")


@on_both
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("pool_size", [0, 4])
def test_no_step_waits_for_the_device(device, precision, pool_size):
    """Batches on the device, augmented, with the handler of the curves; fp16 looks at its scale once a step."""
    batch = {key: image.to(device) for key, image in make_batch(0).items()}
    augment = AugmentedBatch(BatchAugmentation([RandAlignedAffined(["le", "des"], "seg", prob=1.0)]))
    augment.set_random_state(0)
    handlers, given = [LossCurves(), NoWaiting(device)], {"pool_size": pool_size, "prepare_batch": augment}
    trainer = trainer_on(device, [batch] * 5, precision, handlers=handlers, **given)
    try:
        trainer.run()
    finally:
        handlers[1].rest()
    assert trainer.state.iteration == 5
    assert not torch.equal(trainer.state.output["le"], batch["le"])  # it was augmented


@pytest.mark.gpu
@no_cuda
def test_waiting_is_noticed():
    def ask(engine):
        return float(engine.state.output["loss"])

    batch = {key: image.to("cuda") for key, image in make_batch(0).items()}
    trainer, watch = trainer_on("cuda", [batch] * 2), NoWaiting("cuda")
    trainer.add_event_handler(Events.ITERATION_COMPLETED, ask)
    watch.attach(trainer)
    try:
        with pytest.raises(RuntimeError, match="synchronizing"):
            trainer.run()
    finally:
        watch.rest()


@on_both
def test_the_augmentation_of_a_batch_is_that_of_the_cpu(device):
    draws = [
        AffineDraw(),
        AffineDraw(flip=True),
        AffineDraw(shift=(0.05, -0.08), zoom=1.07, angle=-11.0),
        AffineDraw(zoom=0.93, flip=True, angle=7.0),
    ]
    batch = make_batch(1, pairs=4, size=64)
    expected = align_batch(batch, draws, ("le", "des"), ("seg",))
    found = align_batch({key: image.to(device) for key, image in batch.items()}, draws, ("le", "des"), ("seg",))
    assert all(image.device.type == device for image in found.values())
    found = {key: image.cpu() for key, image in found.items()}
    for key in ("le", "des"):
        assert torch.equal(found[key][:2], expected[key][:2])  # a flip is exact
        torch.testing.assert_close(found[key], expected[key], rtol=0, atol=1e-4)
    assert set(found["seg"].unique().tolist()) == {0.0, 1.0}
    assert float((found["seg"] != expected["seg"]).float().mean()) < 1e-3  # a tie of nearest may fall either way


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "phantom"
    write_folds(write_study(folder, patients=6, image_size=64, num_workers=1), k=3)
    return folder


@pytest.mark.parametrize("device", [SLOW_CPU, CUDA])
def test_ranks_over_nccl_equal_one_process_in_float64(device, study, tmp_path):
    """As many ranks as there are GPUs; one is enough for NCCL and its wrappers, two for the exchange."""
    ranks = torch.cuda.device_count() if device == "cuda" else 1

    def trained(name, *configs, **launch):
        places = ("--dataset_dir", study, "--ckpt_dir", tmp_path / name, "--output_dir", tmp_path / name)
        chosen = () if configs else ("--device", f"$torch.device('{device}')")
        files = config_files("train.json", *configs)
        run("training", "--config_file", files, *places, *chosen, "--max_epochs", 2, script=FLOAT64, **launch)
        return torch.load(tmp_path / name / "checkpoint.pt", weights_only=True, map_location="cpu")

    launcher = ("-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}")
    hidden = {} if device == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}
    one = trained("one", **hidden)
    many = trained("many", "multi_gpu_train.json", launcher=launcher, **hidden)
    assert one["epoch"] == many["epoch"] == 2
    for network, state in one["networks"].items():
        for name, value in state.items():
            assert value.dtype == torch.float64
            torch.testing.assert_close(many["networks"][network][name], value, rtol=0, atol=1e-6)
    best = [checkpoint["parts"]["best_model"]["best_metric"] for checkpoint in (one, many)]
    assert best[0] == pytest.approx(best[1], abs=1e-6)


@on_both
def test_inference_in_bf16_stays_near_fp32(device, tmp_path):
    from bundle.inference.backends import BackendNetwork

    network = make_networks(width=8)["gen_le_to_des"].to(device).eval()
    image = make_batch(0, size=64)["le"].to(device)
    made = {}
    for precision in ("fp32", "bf16"):
        backend = BackendNetwork(copy.deepcopy(network), tmp_path / "model.pt", "torch", precision).load()
        made[precision] = backend(image)
        assert made[precision].dtype == torch.float32
        assert made[precision].device.type == device
    difference = (made["bf16"] - made["fp32"]).abs()
    assert 0 < float(difference.mean()) < 1e-2
    with torch.inference_mode():
        assert torch.equal(made["fp32"], network(image)) or device == "cuda"


@pytest.mark.parametrize("device", [SLOW_CPU, CUDA])
def test_the_benchmark_of_the_training_prints_its_table(device, capsys):
    from bundle.benchmark.train import measure_steps
    from bundle.benchmark.training_steps import StepVariant

    large = device == "cuda"
    base = StepVariant("plain", str(ROOT / "configs/train.json"), device=device)
    levers = {"fused": True, "batched_calls": True}
    if large:
        sizes = [{"image_size": 256, "batch_size": pairs} for pairs in (1, 8)]
        levers |= {"compile": "reduce-overhead", "deterministic": False}
    else:
        sizes = [{"image_size": 64, "batch_size": 1, "width": 4, "num_blocks": 1}]
    set_up_machine(device, "fp32", keep_memory=False)  # the comparison is made in this process, without TF32
    for size in sizes:
        sized = StepVariant(**{**vars(base), **size})
        result = measure_steps(sized, levers, repeats=10 if large else 2, equality_size=64, apart=large)
        with capsys.disabled():
            print(f"\n{result.as_text()}")
        assert result.equal, result.equality_text()
        assert {"fp32", "bf16", "bf16, levers"} <= {row["variant"] for row in result.rows}
        assert ("gpu" in result.machine) == large
        if large:
            assert all(row["peak_bytes"] > 0 for row in result.rows)


@pytest.mark.parametrize("device", [SLOW_CPU, CUDA])
def test_the_benchmark_of_the_inference_prints_its_table(device, capsys):
    from bundle.benchmark.infer import available, measure_inference

    large = device == "cuda"
    names = available(["torch fp32", "torch bf16", *(["compiled bf16"] if large else [])], device)
    size = {"image_sizes": (256, 1024)} if large else {"image_sizes": (64,), "width": 4, "num_blocks": 1}
    set_up_machine(device, "fp32", keep_memory=False)
    result = measure_inference(backends=names, repeats=20 if large else 2, memory=large, device=device, **size)
    with capsys.disabled():
        print(f"\n{result.as_text()}")
    assert result.equal, result.equality_text()
    assert set(names) <= {row["variant"] for row in result.rows}
    assert ("gpu" in result.machine) == large
