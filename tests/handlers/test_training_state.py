"""checkpoint.pt: a killed and resumed run equals the straight one bit for bit, and what does not fit is refused."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.handlers import MeanAbsoluteError, ValidationHandler
from monai.transforms import RandGaussianNoised
from toys import make_batch, make_networks, make_trainer

from bundle.engines import CycleGanEvaluator
from bundle.handlers import BestModel, EpochSeed, FailureMonitor, LesionLossHandler, TrainingState, checkpoint_data
from bundle.metrics import CaseMetrics
from bundle.networks.weights import save_weights

NAMES = ["gen_le_to_des", "gen_des_to_le", "disc_des", "disc_le"]


def loader(pairs: int = 4, batch_size: int = 2) -> DataLoader:
    """Pairs in random order with random noise: every epoch draws from all the generators that matter."""
    batch = make_batch(pairs=pairs)
    items = [{key: batch[key][place] for key in batch} for place in range(pairs)]
    noise = RandGaussianNoised(keys=["le"], prob=0.8, std=0.05)
    return DataLoader(Dataset(items, noise), batch_size=batch_size, shuffle=True, num_workers=0)


class Run:
    """A whole training as the config builds it, on toy networks."""

    def __init__(self, folder, epochs=3, pool_size=0, width=4, batch_size=2, learning_rate=None, **kwargs):
        self.networks = make_networks(width=width)
        evaluator = CycleGanEvaluator(
            "cpu",
            [make_batch(9)],
            self.networks["gen_le_to_des"],
            key_val_metric={"val_loss": MeanAbsoluteError(output_transform=lambda o: (o["virtual_des"], o["des"]))},
            additional_metrics={"val": CaseMetrics()},
        )
        self.best = BestModel(folder, self.networks["gen_le_to_des"], evaluator, warmup_epochs=0)
        self.monitor = FailureMonitor(evaluator, lesion_ratio=0.5)
        parts = {"best_model": self.best, "failure_monitor": self.monitor}
        self.state = TrainingState(folder, **{"parts": parts, "data_hash": "data" * 16} | kwargs)
        self.losses = []
        handlers = [LesionLossHandler(35.0), self.state, EpochSeed(5), ValidationHandler(1, evaluator)]
        self.trainer = make_trainer(
            loader(batch_size=batch_size),
            self.networks,
            [*handlers, self.best, self.monitor, self],
            pool_size,
            epochs,
        )
        if learning_rate is not None:
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate

    def attach(self, engine):
        engine.add_event_handler(
            Events.ITERATION_COMPLETED, lambda e: self.losses.append(float(e.state.output["loss"]))
        )

    @property
    def optimizers(self):
        return self.trainer.generator_optimizer, self.trainer.discriminator_optimizer

    def go(self, killed_at: int | None = None) -> Run:
        if killed_at is None:
            self.trainer.run()
            return self

        def kill(_):
            raise KeyboardInterrupt("killed")

        self.trainer.add_event_handler(Events.ITERATION_COMPLETED(once=killed_at), kill)
        with pytest.raises(KeyboardInterrupt, match="killed"):
            self.trainer.run()
        return self


def assert_same(one, other, path=""):
    """Bit for bit, through all nested containers."""
    assert type(one) is type(other), path
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, dict):
        assert list(one) == list(other), path
        for key in one:
            assert_same(one[key], other[key], f"{path}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for place, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{path}/{place}")
    else:
        assert one == other, path


def read(folder) -> dict:
    return torch.load(folder / "checkpoint.pt", weights_only=True)


def test_a_checkpoint_holds_everything_and_loads_as_weights_only(tmp_path):
    run = Run(tmp_path, epochs=2, pool_size=3).go()
    state = read(tmp_path)
    engine_parts = ["networks", "optimizers", "scalers", "pools"]
    of_data = ["data_hash", "datalist_hash", "datalist", "init"]
    assert list(state) == ["format", "epoch", "iteration", *of_data, *engine_parts, "parts"]
    assert (state["format"], state["epoch"], state["iteration"], state["data_hash"]) == (1, 2, 4, "data" * 16)
    assert list(state["networks"]) == NAMES
    for name in NAMES:
        assert_same(dict(state["networks"][name]), dict(run.networks[name].state_dict()))
    assert list(state["optimizers"]) == list(state["scalers"]) == ["generators", "discriminators"]
    for saved, optimizer in zip(state["optimizers"].values(), run.optimizers, strict=True):
        assert_same(saved, optimizer.state_dict())
        assert len(saved["state"]) > 0
    assert_same(state["pools"], {"des": run.trainer.pool_des.state_dict(), "le": run.trainer.pool_le.state_dict()})
    assert [len(pool["images"]) for pool in state["pools"].values()] == [3, 3]
    assert state["parts"] == {"best_model": run.best.state_dict(), "failure_monitor": run.monitor.state_dict()}
    assert state["parts"]["failure_monitor"]["warned"]["lesion_error"] == 1


@pytest.mark.parametrize("pool_size", [0, 3])
@pytest.mark.parametrize("killed_at", [4, 5])  # before epoch 2 is saved, and in the middle of epoch 3
def test_a_killed_and_resumed_run_equals_the_straight_one(tmp_path, pool_size, killed_at):
    straight = Run(tmp_path / "straight", epochs=4, pool_size=pool_size).go()
    killed = Run(tmp_path / "killed", epochs=4, pool_size=pool_size).go(killed_at)
    resumed = Run(tmp_path / "killed", epochs=4, pool_size=pool_size, resume=True).go()
    begin = len(straight.losses) - len(resumed.losses)
    assert begin == (2 if killed_at == 4 else 4)
    assert killed.losses[:begin] + resumed.losses == straight.losses
    assert len(set(straight.losses)) == 8
    assert_same(read(tmp_path / "killed"), read(tmp_path / "straight"))
    assert resumed.trainer.state.metrics == straight.trainer.state.metrics
    for name in ("model.pt", "model.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_a_longer_run_goes_on_from_a_completed_one(tmp_path):
    straight = Run(tmp_path / "straight", epochs=3).go()
    Run(tmp_path / "parts", epochs=2).go()
    resumed = Run(tmp_path / "parts", epochs=3, resume=True).go()
    assert resumed.losses == straight.losses[4:]
    assert_same(read(tmp_path / "parts"), read(tmp_path / "straight"))


def test_a_resume_of_a_completed_run_changes_nothing(tmp_path):
    Run(tmp_path, epochs=2).go()
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    resumed = Run(tmp_path, epochs=2, resume=True).go()
    assert resumed.losses == []
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_crash_while_saving_leaves_the_former_checkpoint(tmp_path, monkeypatch):
    straight = Run(tmp_path / "straight", epochs=3).go()
    run = Run(tmp_path / "run", epochs=3)
    write = torch.save

    def dies_in_epoch_2(state, file):
        if "epoch" in state and state["epoch"] == 2:
            (tmp_path / "run" / ".checkpoint.pt.1.tmp").write_bytes(b"half a checkpoint")
            raise OSError("no space left on device")
        write(state, file)

    monkeypatch.setattr(torch, "save", dies_in_epoch_2)
    with pytest.raises(OSError, match="no space left"):
        run.trainer.run()
    monkeypatch.undo()
    assert read(tmp_path / "run")["epoch"] == 1
    resumed = Run(tmp_path / "run", epochs=3, resume=True).go()
    assert resumed.losses == straight.losses[2:]
    assert_same(read(tmp_path / "run"), read(tmp_path / "straight"))


def test_a_run_that_is_ended_in_the_middle_of_an_epoch_keeps_the_state_before_it(tmp_path):
    run = Run(tmp_path, epochs=3)
    run.trainer.add_event_handler(Events.ITERATION_COMPLETED(once=3), lambda engine: engine.terminate())
    run.go()
    assert (run.trainer.state.epoch, run.trainer.state.iteration) == (2, 3)
    assert read(tmp_path)["epoch"] == 1


def test_epochs_stay_whole_when_a_run_goes_on_with_another_batch_size(tmp_path):
    Run(tmp_path, epochs=3, batch_size=4).go()
    resumed = Run(tmp_path, epochs=4, batch_size=2, resume=True).go()
    assert len(resumed.losses) == 2
    assert (read(tmp_path)["epoch"], read(tmp_path)["iteration"]) == (4, 8)


def test_saves_come_every_interval_and_at_the_end(tmp_path, monkeypatch):
    run, saved = Run(tmp_path, epochs=5, interval=2), []
    write = torch.save

    def keep(state, file):
        saved.extend([state["epoch"]] if "format" in state else [])
        write(state, file)

    monkeypatch.setattr(torch, "save", keep)
    run.go()
    assert saved == [2, 4, 5]
    assert read(tmp_path)["epoch"] == 5


def test_a_trainer_that_runs_twice_saves_each_epoch_once(tmp_path, monkeypatch):
    run, saved = Run(tmp_path, epochs=1), []
    run.go()
    write = torch.save
    monkeypatch.setattr(torch, "save", lambda state, file: (saved.append("format" in state), write(state, file)))
    run.trainer.state.max_epochs = 2
    run.go()
    assert saved.count(True) == 1
    assert read(tmp_path)["epoch"] == 2


def test_only_the_first_process_saves(tmp_path):
    run = Run(tmp_path, epochs=1)
    run.trainer.state.rank = 1
    run.go()
    assert list(tmp_path.iterdir()) == []


def test_other_data_are_refused(tmp_path):
    Run(tmp_path, epochs=1).go()
    with pytest.raises(ValueError, match="was trained on other data") as error:
        Run(tmp_path, epochs=2, resume=True, data_hash="other-hash-than-that").go()
    assert str(error.value) == (
        f"{tmp_path / 'checkpoint.pt'} was trained on other data (hash datadatadata..., now other-hash-t...). Resume "
        "with the data of that run, or choose another --ckpt_dir."
    )


@pytest.mark.parametrize("stage", ["resume", "init_checkpoint"])
def test_another_width_is_refused(tmp_path, stage):
    Run(tmp_path / "first", epochs=1).go()
    path = tmp_path / "first" / "checkpoint.pt"
    folder, how = (path.parent, {"resume": True}) if stage == "resume" else (tmp_path, {stage: path})
    text = f"{path} holds another gen_le_to_des than this config builds: use the width, depth and options of its run."
    with pytest.raises(ValueError, match=re.escape(text)):
        Run(folder, epochs=2, width=8, **how).go()


@pytest.mark.parametrize(
    ("stage", "step"),
    [
        ("resume", "Start without --resume, or point --ckpt_dir at the run."),
        ("init_checkpoint", "Pass the checkpoint.pt that the pre-training wrote."),
    ],
)
def test_a_checkpoint_that_is_missing_or_none_is_refused(tmp_path, stage, step):
    path = tmp_path / "checkpoint.pt"
    how = {"resume": True} if stage == "resume" else {stage: path}

    def said(error):
        with pytest.raises(error) as caught:
            Run(tmp_path, epochs=2, **how).go()
        return str(caught.value)

    assert said(FileNotFoundError) == f"there is no checkpoint {path}. {step}"
    save_weights(path, make_networks()["gen_le_to_des"], {})
    assert said(ValueError) == f"{path} is no checkpoint of a training (a model.pt holds one generator). {step}"
    for content in (b"", b"no pickle at all", path.read_bytes()[:1000]):
        path.write_bytes(content)
        assert said(ValueError) == f"{path} cannot be read as a checkpoint. {step}"


def test_a_part_that_the_checkpoint_lacks_is_named(tmp_path):
    Run(tmp_path, epochs=1, parts={}).go()
    with pytest.raises(ValueError, match="lacks the state of best_model, failure_monitor"):
        Run(tmp_path, epochs=2, resume=True).go()


def test_a_part_that_the_config_lacks_is_named(tmp_path):
    run = Run(tmp_path, epochs=1)
    run.state.parts["pair_discriminator"] = run.monitor
    run.go()
    with pytest.raises(ValueError, match="holds the state of pair_discriminator, which this config does not build"):
        Run(tmp_path, epochs=2, resume=True).go()


def test_a_run_without_gradient_scaling_can_go_on_with_it(tmp_path):
    Run(tmp_path, epochs=1).go()
    assert read(tmp_path)["scalers"] == {"generators": {}, "discriminators": {}}
    resumed = Run(tmp_path, epochs=1, resume=True)
    resumed.trainer.generator_scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    resumed.go()
    assert resumed.trainer.generator_scaler.get_scale() == 8


def test_a_scaler_goes_on_with_its_scale(tmp_path):
    run = Run(tmp_path, epochs=1)
    run.trainer.generator_scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    run.go()
    resumed = Run(tmp_path, epochs=1, resume=True)
    resumed.trainer.generator_scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    resumed.go()
    assert resumed.trainer.generator_scaler.state_dict() == read(tmp_path)["scalers"]["generators"]
    assert resumed.trainer.generator_scaler.get_scale() == 4


class Started:
    """What the networks and optimisers are when the first epoch of a run begins."""

    def __init__(self, run: Run):
        self.run = run
        run.trainer.add_event_handler(Events.EPOCH_STARTED(once=1), self)
        run.go()

    def __call__(self, engine):
        self.networks = copy.deepcopy({name: dict(net.state_dict()) for name, net in engine.networks.items()})
        self.moments = copy.deepcopy([optimizer.state_dict()["state"] for optimizer in self.run.optimizers])
        self.epoch = engine.state.epoch


def test_stage_2_takes_over_networks_and_moments_and_keeps_its_own_learning_rate(tmp_path):
    Run(tmp_path / "first", epochs=2, pool_size=3).go()
    first = read(tmp_path / "first")
    run = Run(tmp_path / "second", 1, learning_rate=5e-4, init_checkpoint=tmp_path / "first" / "checkpoint.pt")
    for optimizer in run.optimizers:
        for group in optimizer.param_groups:
            group |= {"weight_decay": 0.125, "betas": (0.4, 0.9)}
    started = Started(run)
    assert_same(started.networks, {name: dict(first["networks"][name]) for name in NAMES})
    assert_same(started.moments, [part["state"] for part in first["optimizers"].values()])
    for optimizer, parameters in zip(run.optimizers, (NAMES[:2], NAMES[2:]), strict=True):
        (group,) = optimizer.param_groups
        assert (group["lr"], group["weight_decay"], group["betas"]) == (5e-4, 0.125, (0.4, 0.9))
        own = [parameter for name in parameters for parameter in run.networks[name].parameters()]
        assert all(mine is theirs for mine, theirs in zip(group["params"], own, strict=True))
    assert started.epoch == 1  # a run of its own, from its first epoch
    assert read(tmp_path / "second")["epoch"] == 1
    assert run.best.best_epoch == 1
    assert run.trainer.pool_des.images == []


def test_stage_2_may_take_over_the_networks_alone(tmp_path):
    Run(tmp_path / "first", epochs=1).go()
    path = tmp_path / "first" / "checkpoint.pt"
    started = Started(Run(tmp_path / "second", 1, init_checkpoint=path, init_optimizers=False))
    assert_same(started.networks, {name: dict(read(tmp_path / "first")["networks"][name]) for name in NAMES})
    assert started.moments == [{}, {}]


def test_stage_2_accepts_other_data_than_stage_1(tmp_path):
    Run(tmp_path / "first", epochs=1).go()
    path = tmp_path / "first" / "checkpoint.pt"
    Run(tmp_path / "second", 1, init_checkpoint=path, data_hash="clinical").go()
    assert read(tmp_path / "second")["data_hash"] == "clinical"


def test_a_resume_of_stage_2_does_not_start_it_again(tmp_path):
    Run(tmp_path / "first", epochs=1).go()
    init = {"init_checkpoint": tmp_path / "first" / "checkpoint.pt"}
    straight = Run(tmp_path / "straight", epochs=3, **init).go()
    Run(tmp_path / "killed", epochs=3, **init).go(killed_at=5)
    init["init_checkpoint"].unlink()  # not even looked for
    resumed = Run(tmp_path / "killed", epochs=3, resume=True, **init).go()
    assert resumed.losses == straight.losses[4:]
    assert_same(read(tmp_path / "killed"), read(tmp_path / "straight"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_a_resume_on_cuda_has_its_images_there_and_adams_counts_on_the_cpu(tmp_path):
    networks = {name: network.cuda() for name, network in make_networks().items()}
    for resume in (False, True):
        trainer = make_trainer([make_batch()], networks, [TrainingState(tmp_path, resume=resume)], 3, 1 + resume)
        trainer.state.device = torch.device("cuda")
        trainer.run()
    assert trainer.pool_des.images[0].is_cuda
    assert not any(state["step"].is_cuda for state in trainer.generator_optimizer.state.values())


def test_stage_2_refuses_another_split_of_the_list_of_stage_1(tmp_path):
    Run(tmp_path / "first", epochs=1, data_hash="fold 0", datalist_hash="list").go()
    path = tmp_path / "first" / "checkpoint.pt"
    told = checkpoint_data(path)
    assert (told.pop("epochs"), told.pop("steps")) == (1, read(tmp_path / "first")["iteration"])
    assert told == {"datalist_hash": "list", "data_hash": "fold 0"}
    assert checkpoint_data(None) is None
    with pytest.raises(ValueError, match=r"trained on another split of this datalist.*Take the folds and --fold"):
        Run(tmp_path / "second", 1, init_checkpoint=path, data_hash="fold 2", datalist_hash="list").go()
    Run(tmp_path / "second", 1, init_checkpoint=path, data_hash="fold 0", datalist_hash="list").go()


def test_what_stage_1_started_from_is_known_to_stage_3(tmp_path):
    def go(folder, data_hash, datalist, init=None, **kwargs):
        settings = {"datalist_hash": f"of {datalist}", "datalist": datalist, "init_checkpoint": init} | kwargs
        Run(tmp_path / folder, 1, data_hash=data_hash, **settings).go()
        return tmp_path / folder / "checkpoint.pt"

    first = go("first", "fold 0", "list")
    second = go("second", "other fold 0", "other", first)
    steps = read(tmp_path / "first")["iteration"]
    one = {"datalist": "list", "datalist_hash": "of list", "data_hash": "fold 0", "epochs": 1, "steps": steps}
    two = {"datalist": "other", "datalist_hash": "of other", "data_hash": "other fold 0", "epochs": 1, "steps": steps}
    assert checkpoint_data(second) == two | {"init": one}
    with pytest.raises(ValueError, match="trained on another split of this datalist"):
        go("third", "fold 2", "list", second)
    third = go("third", "fold 0", "list", second)
    told = checkpoint_data(third)["init"]
    assert told == two | {"init": one}
    Run(tmp_path / "third", 2, data_hash="fold 0", datalist_hash="of list", resume=True).go()
    assert checkpoint_data(third)["init"] == told


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("stage", ["resume", "init"])
@pytest.mark.parametrize("levers", [{}, {"channels_last": True}])
def test_a_fused_optimiser_goes_on_from_a_checkpoint_that_another_wrote(tmp_path, stage, levers):
    """Its moments have to lie in memory like its weights: it takes them as they lie."""
    make_trainer([make_batch()], handlers=[TrainingState(tmp_path, data_hash="data")]).run()
    weights = {}
    for fused in (False, True):
        state = {"resume": {"resume": True}, "init": {"init_checkpoint": tmp_path / "checkpoint.pt"}}[stage]
        handler = TrainingState(tmp_path if stage == "resume" else tmp_path / str(fused), data_hash="data", **state)
        handler.save = lambda engine: None
        networks = make_networks(seed=1)
        batches = [make_batch(1), make_batch(2)]
        trainer = make_trainer(batches, networks, [handler], max_epochs=2, **(levers if fused else {}))
        for optimizer in (trainer.generator_optimizer, trainer.discriminator_optimizer):
            optimizer.param_groups[0]["fused"] = fused
        trainer.run()
        assert trainer.generator_optimizer.param_groups[0]["fused"] is fused
        weights[fused] = [value for network in networks.values() for value in network.state_dict().values()]
    for plain, other in zip(weights[False], weights[True], strict=True):
        torch.testing.assert_close(other, plain, rtol=0, atol=1e-9)
