"""Each command of the benchmark at the smallest sizes, and what it says when results differ."""

import importlib.util
import json
from importlib.util import find_spec

import pytest
import torch

import bundle.benchmark.infer as benchmark_infer
import bundle.benchmark.train as benchmark_train
from bundle.benchmark.infer import measure_inference
from bundle.benchmark.reference_step import ReferenceStep, plain_discriminator, plain_generator
from bundle.benchmark.training_steps import StepVariant, build_step, plain_networks, product_trainer
from bundle.networks import PatchDiscriminator, ResnetGenerator, generator_of_card
from bundle.networks.weights import save_weights
from scripts.benchmark import CONFIGS, dicom, infer, loader, train
from scripts.benchmark import _pairs as read_levers

TINY = {"width": 2, "num_blocks": 1, "device": "cpu"}


@pytest.fixture(autouse=True)
def quick_peak(monkeypatch):
    """What the machine reaches is measured elsewhere."""
    for module in ("bundle.benchmark.train", "bundle.benchmark.infer"):
        monkeypatch.setattr(f"{module}.peak_gflops", lambda device: {"fp32": 100.0, "bf16": 200.0})


def read(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["equality"]
    assert all(line["ok"] for line in content["equality"])
    return content


def test_the_plain_networks_are_the_papers():
    for plain, own in ((plain_generator(), ResnetGenerator()), (plain_discriminator(), PatchDiscriminator())):
        assert [each.shape for each in plain.parameters()] == [each.shape for each in own.parameters()]


def test_train_compares_then_times(tmp_path, capsys):
    path = tmp_path / "train.json"
    train(str(path), image_size=32, equality_size=32, repeats=2, apart=False, levers="fused=True", **TINY)
    content, printed = read(path), capsys.readouterr().out
    assert printed.startswith("equal: losses, fp32 and plain reference: largest difference")
    assert "gradients of the four networks in float64" in printed
    names = ["plain reference", "fp32", "fp32, lesion losses", "fp32, levers", "bf16", "bf16, levers"]
    assert [row["variant"] for row in content["rows"]] == names
    assert {row["what"] for row in content["rows"]} == {"step"}
    assert len({row["gflop"] for row in content["rows"]}) == 1
    assert content["rows"][0]["gflop"] > 0
    assert [ratio["of"] for ratio in content["ratios"]] == names[1:]
    assert content["settings"]["levers"] == {"fused": True}


def test_a_step_that_differs_ends_with_status_1_and_times_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(ReferenceStep, "_verdict", lambda self, verdict, real: self.squares(verdict, verdict * 0.5))
    with pytest.raises(SystemExit) as left:
        train(str(tmp_path / "train.json"), image_size=32, equality_size=32, apart=False, levers="", **TINY)
    assert "NOT EQUAL: losses, fp32 and plain reference" in capsys.readouterr().out
    assert "nothing was timed" in str(left.value.code)
    assert not (tmp_path / "train.json").exists()


def test_what_is_no_lever_is_refused(tmp_path):
    known = "compile, channels_last, batched_calls, micro_batch_size, fused, deterministic"
    with pytest.raises(ValueError, match=f"^levers pool_size, seed: expected some of {known}.\nlever fused is 'yes', "):
        train(str(tmp_path / "t.json"), levers="pool_size=50,seed=3,fused=yes", **TINY)
    with pytest.raises(ValueError, match=r"^lever micro_batch_size is True, expected int or None\.$"):
        train(str(tmp_path / "t.json"), levers="micro_batch_size=True", **TINY)


def test_every_lever_reaches_the_step(monkeypatch):
    def trainer(levers, config="train.json"):
        return product_trainer(StepVariant("product", str(CONFIGS / config), 32, 4, 2, 1, levers=levers))

    levers = read_levers("micro_batch_size=2,channels_last=True,batched_calls=True,compile=default,fused=True")
    assert levers["micro_batch_size"] == 2
    built = trainer(levers)
    assert (built.micro_batch_size, built.batched_calls, built.compile) == (2, True, "default")
    assert built.generator_optimizer.defaults["fused"] is True
    weights = built.gen_le_to_des.state_dict().values()
    assert any(each.dim() == 4 and not each.is_contiguous() for each in weights)
    settings = {}
    monkeypatch.setattr(
        "bundle.benchmark.training_steps.set_up_machine", lambda *given, **named: settings.update(named)
    )
    levers = read_levers("deterministic=False")
    build_step(StepVariant("product", str(CONFIGS / "train.json"), 32, 1, 2, 1, levers=levers, set_up=True))
    assert settings == {"deterministic": False}
    with pytest.raises(ValueError, match="has no root key fused"):
        trainer({"fused": True}, "inference.json")


STAND_IN = """
import itertools
import torch
from util.pool import Pool
from . import nets

class CycleGANModel:
    def __init__(self, opt):
        print("a chatty model")
        self.pool = Pool(opt.pool_size)
        self.netG_A, self.netG_B = nets.generator(opt.ngf), nets.generator(opt.ngf)
        self.netD_A, self.netD_B = nets.discriminator(opt.ndf), nets.discriminator(opt.ndf)
        self.lambdas = opt.lambda_A, opt.lambda_identity

    def set_input(self, data):
        self.le, self.des = data["A"], data["B"]

    def optimize_parameters(self):
        one = torch.nn.functional.l1_loss
        square = lambda verdict, goal: ((verdict - goal) ** 2).mean()
        A, B, (cycle, identity) = self.netG_A, self.netG_B, self.lambdas
        fake_des, fake_le = A(self.le), B(self.des)
        self.loss_G_A, self.loss_G_B = square(self.netD_A(fake_des), 1), square(self.netD_B(fake_le), 1)
        self.loss_cycle_A = cycle * one(B(fake_des), self.le)
        self.loss_cycle_B = cycle * one(A(fake_le), self.des)
        self.loss_idt_A = cycle * identity * one(A(self.des), self.des)
        self.loss_idt_B = cycle * identity * one(B(self.le), self.le)
        self.loss_G = self.loss_G_A + self.loss_G_B + self.loss_cycle_A + self.loss_cycle_B
        self.loss_G = self.loss_G + self.loss_idt_A + self.loss_idt_B
        self.loss_D_A = 0.5 * (square(self.netD_A(self.des), 1) + square(self.netD_A(fake_des.detach()), 0))
        self.loss_D_B = 0.5 * (square(self.netD_B(self.le), 1) + square(self.netD_B(fake_le.detach()), 0))
"""


@pytest.fixture
def checkout(tmp_path):
    """A stand-in for the reference repository: its places and names, and networks of this project's restatement."""
    folder = tmp_path / "checkout"
    for name, text in {
        "models/__init__.py": "",
        "models/cycle_gan_model.py": STAND_IN,
        "models/nets.py": "from torch import nn\nfrom bundle.benchmark.reference_step import *\n"
        "generator = lambda width: plain_generator(width, 1, nn.Tanh)\n"
        "discriminator = lambda width: plain_discriminator(width, nn.Identity)\n",
        "util/__init__.py": "",
        "util/pool.py": "class Pool:\n    def __init__(self, size):\n        assert size == 0\n",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_a_checkout_of_the_reference_is_compared_and_timed(checkout, tmp_path, capsys, monkeypatch):
    only = ("plain reference", "reference checkout", "fp32")
    variants = benchmark_train.step_variants
    monkeypatch.setattr(
        benchmark_train,
        "step_variants",
        lambda *given: {name: each for name, each in variants(*given).items() if name in only},
    )
    path = tmp_path / "train.json"
    settings = {"reference": str(checkout), "apart": False, "levers": "", "repeats": 1}
    train(str(path), image_size=32, equality_size=32, **settings, **TINY)
    assert [row["variant"] for row in read(path)["rows"]] == list(only)
    printed = capsys.readouterr().out
    assert "reference checkout and plain reference with its tanh" in printed
    assert "chatty" not in printed


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds no models.cycle_gan_model\.py.*git clone"):
        train(str(tmp_path / "t.json"), image_size=32, equality_size=32, reference=str(tmp_path), apart=False, **TINY)


def test_a_checkout_of_another_kind_is_refused(checkout, tmp_path):
    model = checkout / "models" / "cycle_gan_model.py"
    model.write_text("class CycleGANModel:\n    def __init__(self, opt):\n        opt.teacher\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"cannot be made \(.*teacher.*Check out its branch master"):
        train(str(tmp_path / "t.json"), image_size=32, equality_size=32, reference=str(checkout), apart=False, **TINY)


def test_infer(tmp_path, capsys):
    path = tmp_path / "infer.json"
    backends = "torch fp32,torch bf16,openvino fp32,openvino bf16,onnxruntime fp32"
    if find_spec("openvino") is None:  # importorskip would import it, and it reports its import
        pytest.skip("the extra 'fast' is not installed")
    infer(str(path), image_sizes="32", backends=backends, repeats=2, memory=False, **TINY)
    content = read(path)
    assert [row["variant"] for row in content["rows"]] == ["plain eager fp32", *backends.split(",")]
    assert [line["bound"] for line in content["equality"]] == [1e-4, 1e-2, 1e-4, 1e-2, 1e-4]
    assert content["settings"]["model"] == "random weights"
    assert "generator, 32 px" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("layers", "multiple"),
    [
        ({"name": "unet", "in_channels": 1, "width": 2, "num_downsamples": 4}, 16),
        ({"in_channels": 1, "width": 2, "num_blocks": 1, "num_downsamples": 3}, 8),
    ],
)
def test_infer_of_another_network(layers, multiple, tmp_path, monkeypatch):
    card = {"image_size": 32, "network": layers, "intensity": {"method": "window"}}
    save_weights(tmp_path / "model.pt", generator_of_card(layers), card)
    whole = []
    monkeypatch.setattr(benchmark_infer, "_measure_native", lambda result, base, *_: whole.append(base))
    backends, native = ["torch fp32"], (2 * multiple, 2 * multiple + 1)
    measured = measure_inference(tmp_path / "model.pt", (32,), 1, backends, 1, native, memory=False)
    assert [line["difference"] for line in measured.equality] == [0.0]
    assert [(base.height, base.width) for base in whole] == [(2 * multiple, 3 * multiple)]


def test_a_backend_whose_export_lacks_a_package_is_left_out(tmp_path, monkeypatch):
    def find(name, package=None):
        return None if name == "onnxscript" else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    paths, backends = [tmp_path / "infer.json", tmp_path / "dicom.json"], "torch fp32,onnxruntime fp32"
    infer(str(paths[0]), image_sizes="32", backends=backends, repeats=1, memory=False, **TINY)
    small = {"rows": 64, "images": 1, "repeats": 1, "width": 2, "num_blocks": 1}
    dicom(str(paths[1]), backends=backends, syntaxes="uncompressed", **small)
    for path in paths:
        content = read(path)
        assert "onnxruntime fp32" not in [row["variant"] for row in content["rows"]]
        assert [note.startswith("Left out, not installed") for note in content["notes"]] == [True]


def test_infer_refuses_an_unknown_backend(tmp_path):
    with pytest.raises(ValueError, match="backends abacus: expected some of torch fp32, torch bf16"):
        infer(str(tmp_path / "infer.json"), backends="abacus", **TINY)


def test_dicom(tmp_path, capsys):
    path = tmp_path / "dicom.json"
    settings = {"rows": 64, "images": 2, "repeats": 2, "width": 2, "num_blocks": 1}
    dicom(str(path), backends="torch fp32,torch bf16", **settings)
    content = read(path)
    for syntax in ("uncompressed", "jpeg2000"):
        whole = [row for row in content["rows"] if row["what"] == f"DICOM to DICOM, {syntax}"]
        assert [row["variant"] for row in whole] == ["stock MONAI, fp32", "torch fp32", "torch bf16"]
        assert {row["image_size"] for row in whole} == {"64 x 54"}
        for row in whole:  # the steps are the whole
            steps = [
                each["seconds"]
                for step in ("read", "preprocess", "network", "write")
                for each in content["rows"]
                if each["what"] == f"{step}, {syntax}" and each["variant"] == row["variant"]
            ]
            assert [each["n"] for each in steps] == [2] * 4
            assert sum(each["min"] for each in steps) <= row["seconds"]["max"]
    same = [line for line in content["equality"] if "torch fp32" in line["what"]]
    assert [(line["difference"], line["bound"]) for line in same] == [(0.0, 1.0)] * 2
    assert "DICOM to DICOM, jpeg2000" in capsys.readouterr().out


def test_dicom_refuses_what_it_does_not_know(tmp_path):
    with pytest.raises(ValueError, match="syntaxes rle: expected some of"):
        dicom(str(tmp_path / "dicom.json"), syntaxes="rle")
    with pytest.raises(ValueError, match=r"holds no \*\.dcm"):
        dicom(str(tmp_path / "dicom.json"), dataset_dir=str(tmp_path), backends="torch fp32", width=2, num_blocks=1)


def test_loader(tmp_path, capsys):
    path = tmp_path / "loader.json"
    loader(str(path), image_size=32, batch_size=4, cases="8,16", repeats=2, rows=40, columns=30, device="cpu")
    content = read(path)
    samples = [(row["variant"], row["cases"]) for row in content["rows"] if row["what"] == "sample"]
    paths = ("three keys, MONAI", "three keys, one draw", "batched")
    assert samples == [(name, number) for number in (8, 16) for name in paths]
    assert [ratio["what"] for ratio in content["ratios"]][:2] == ["sample, CPU seconds"] * 2
    assert [line["difference"] for line in content["equality"]] == [0.0, 0.0, 0.0]
    assert content["growth"][0]["with"] == "cases"
    assert "equal: SEG, batched" in capsys.readouterr().out


def test_numbers_are_read_from_text(tmp_path):
    with pytest.raises(ValueError, match="--cases is 'many', expected whole numbers above 0"):
        loader(str(tmp_path / "loader.json"), cases="many")
    with pytest.raises(ValueError, match=r"--levers holds 'fused', expected KEY=VALUE"):
        train(str(tmp_path / "t.json"), levers="fused", device="cpu")


def test_equal_weights_whatever_the_rng_of_before():
    variant = StepVariant("plain", "", 32, 1, 2, 1)
    torch.manual_seed(5)
    first = plain_networks(variant)
    for name, network in plain_networks(variant).items():
        for one, other in zip(network.parameters(), first[name].parameters(), strict=True):
            assert torch.equal(one, other)
