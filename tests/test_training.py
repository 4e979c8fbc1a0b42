"""Training runs, from the configuration to the model: small ones, on noise."""

from __future__ import annotations

import copy
import csv
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from lightning.pytorch.plugins.precision import MixedPrecision, Precision

from conftest import noise
from dttnet.config import DTTNetConfig, NetworkCard, NetworkConfig, PathType, Transform, network_config
from dttnet.consistency import missing_shares
from dttnet.dataset import STEMS
from dttnet.errors import AudioError, DeviceError, DttnetError, ModelError, UsageError
from dttnet.nn.build import build_network
from dttnet.runtime.onnx import read_card
from dttnet.separator import Separator
from dttnet.training.adapt import (
    change_depth,
    exchange_path,
    join_heads,
    level_input,
    repeat_bins,
    repeat_channels,
    take_stems,
)
from dttnet.training.curve import read_metrics
from dttnet.training.data import Examples
from dttnet.training.distributed import SyncBatchNorm
from dttnet.training.experiment import load_experiment, read_experiment
from dttnet.training.release import release
from dttnet.training.start import Start, find_checkpoint, find_start, read_checkpoint
from dttnet.training.task import Task, level_db, rate_share
from dttnet.training.trainer import FitReport, Root, fit

CONFIG = """
description: Tiny
stems: [vocals, drums, bass, other]
transform: {n_fft: 512, hop: 128, n_bins: 128}
network: {architecture: dttnet, growth: 2, n_scales: 1, convs_per_block: 1, n_dual_path_layers: 1, n_heads: 1}
n_frames: 16
batch_size: 2
steps: 6
save_every: 100
log_every: 2
ema_decay: 0.9
optimizer: {rate: 1.0e-2}
loss: {consistent: true}
validation: {every: 4, max_seconds: 1}
hardware: {n_workers: 0, accelerator: cpu, threads: 1}
"""

pytestmark = [
    # Lightning and what it imports, not ours to mend.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two songs to train and two to validate with, two seconds each."""
    root = tmp_path_factory.mktemp("songs")
    for number, split in enumerate(("train", "train", "valid", "valid")):
        for position, stem in enumerate(STEMS):
            path = root / split / f"song {number}" / f"{stem}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, noise(2 * 44100, peak=0.2, seed=10 * number + position), 44100)
    return root


@pytest.fixture
def train(tmp_path: Path, songs: Path) -> Callable[..., FitReport]:
    """train("run", "steps=3", ...): a run of the tiny configuration in the test's folder."""
    config = tmp_path / "tiny.yaml"
    config.write_text(CONFIG)

    def run(
        name: str,
        *overrides: str,
        roots: Sequence[Path] = (),
        start: str | None = None,
        lines: list[str] | None = None,
    ) -> FitReport:
        return fit(
            load_experiment(str(config), overrides),
            [Root(path=root) for root in roots or [songs]],
            tmp_path / name,
            start=find_start(start) if start is not None else None,
            report=lines.append if lines is not None else lambda _: None,
        )

    return run


def contents(run: Path) -> dict[str, torch.Tensor]:
    """Average, weights and optimiser of the last checkpoint, by name."""
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    tensors = {f"average.{name}": tensor for name, tensor in checkpoint["state_dict"].items()}
    tensors |= {f"weights.{name}": tensor for name, tensor in checkpoint.get("current_model_state", {}).items()}
    for number, state in checkpoint["optimizer_states"][0]["state"].items():
        tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in state.items()}
    return tensors


def assert_same(one: Path, other: Path) -> None:
    mine, yours = contents(one), contents(other)
    assert mine.keys() == yours.keys()
    different = [name for name in mine if not torch.equal(mine[name], yours[name])]
    assert not different, different


def metrics(run: Path) -> list[dict[str, str]]:
    rows = []
    for path in sorted(run.glob("logs/*/metrics.csv")):
        with path.open(newline="") as file:
            rows += list(csv.DictReader(file))
    return rows


def test_a_run_leaves_what_a_person_needs(tmp_path: Path, train: Callable[..., FitReport]) -> None:
    report = train("run", "steps=8")
    run = tmp_path / "run"
    assert (report.step, report.interrupted) == (8, False)
    assert report.best is not None
    assert report.best_usdr is not None
    best = find_checkpoint(run)
    assert best.name == f"best-{read_checkpoint(best).step}-{report.best_usdr:.4f}.ckpt"
    # Two validations may be the same in the four digits of the name.
    assert np.mean(list(read_checkpoint(best).usdr.values())) == pytest.approx(report.best_usdr, abs=1e-4)
    assert read_experiment((run / "config.yaml").read_text(), "config.yaml").steps == 8
    validated = [row for row in metrics(run) if row.get("val/usdr")]
    assert [row["step"] for row in validated] == ["4", "8"]
    assert float(validated[-1]["val/usdr"]) == pytest.approx(
        np.mean([float(validated[-1][f"val/usdr_{stem}"]) for stem in STEMS]), abs=1e-5
    )  # printed digits of float32
    assert list(run.glob("events.out.tfevents*"))
    assert (run / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_half_precision_keeps_weights_and_scores_whole(tmp_path: Path, train: Callable[..., FitReport]) -> None:
    report = train("run", "steps=2", "hardware.precision=bfloat16")
    assert report.best_usdr is not None
    assert np.isfinite(report.best_usdr)
    tensors = contents(tmp_path / "run")
    assert {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()} == {torch.float32}


def test_a_precision_that_a_device_cannot_be_trained_in_is_an_error(
    tmp_path: Path, train: Callable[..., FitReport]
) -> None:
    with pytest.raises(DeviceError, match=r"hardware\.precision is float16, which cpu cannot be trained in: give bf"):
        train("run", "hardware.precision=float16")
    assert not (tmp_path / "run").exists()


def test_a_run_that_goes_on_ends_with_the_same_weights(tmp_path: Path, train: Callable[..., FitReport]) -> None:
    train("whole", "steps=7")
    for steps in (3, 4, 7):  # before, at and after a validation
        train("parts", f"steps={steps}")
    assert_same(tmp_path / "whole", tmp_path / "parts")
    # The log of the parts is that of the whole, but for the rows that the end of a part adds or moves.
    curves = [read_metrics(tmp_path / name) for name in ("whole", "parts")]
    assert dict(curves[1]["val/usdr"])[4] == dict(curves[0]["val/usdr"])[4]
    assert [step for step, _ in curves[1]["val/usdr"]] == sorted({step for step, _ in curves[1]["val/usdr"]})


def test_it_does_so_with_accumulated_batches_workers_and_muon(tmp_path: Path, train: Callable[..., FitReport]) -> None:
    options = ("accumulate=2", "ema_decay=null", "optimizer.schedule=exponential", "optimizer.decay_every=2")
    options += ("optimizer.kind=muon",)
    train("whole", "steps=5", *options)
    train("parts", "steps=2", *options, "hardware.n_workers=2")
    train("parts", "steps=5", *options, "hardware.n_workers=1")
    assert_same(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_goes_on_exactly_from_there(
    tmp_path: Path, train: Callable[..., FitReport], monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    train("whole")
    read = Examples.__getitem__

    def stop_in_the_middle(examples: Examples, index: int) -> object:
        if index == 5:  # of the third step
            signal.raise_signal(number)
        return read(examples, index)

    with monkeypatch.context() as patch:
        patch.setattr(Examples, "__getitem__", stop_in_the_middle)
        stopped = train("parts")
    assert (stopped.step, stopped.interrupted) == (3, True)
    lines: list[str] = []
    assert train("parts", lines=lines).step == 6
    assert any("goes on at step 3" in line for line in lines)
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_a_validation_that_was_stopped_is_made_up_for(
    tmp_path: Path, train: Callable[..., FitReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    train("whole")
    validate = Task.validation_step

    def stop_in_the_middle(task: Task, number: int, index: int) -> None:
        signal.raise_signal(signal.SIGTERM)
        validate(task, number, index)

    with monkeypatch.context() as patch:
        patch.setattr(Task, "validation_step", stop_in_the_middle)
        stopped = train("parts")
    assert (stopped.step, stopped.interrupted, stopped.best) == (4, True, None)
    train("parts")
    assert_same(tmp_path / "whole", tmp_path / "parts")
    assert find_checkpoint(tmp_path / "parts").name == find_checkpoint(tmp_path / "whole").name
    assert read_metrics(tmp_path / "parts")["val/usdr"] == read_metrics(tmp_path / "whole")["val/usdr"]


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="signals to a group of processes are POSIX")
def test_a_signal_to_all_processes_lets_the_workers_end_the_step(
    tmp_path: Path, train: Callable[..., FitReport], songs: Path
) -> None:
    train("whole", "steps=1")  # writes the configuration
    command = [sys.executable, "-m", "dttnet", "train", str(tmp_path / "tiny.yaml"), "--data", str(songs)]
    options = ["-o", str(tmp_path / "run"), "steps=100000", "save_every=1", "hardware.n_workers=1"]
    options += ["validation.every=100000"]
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
        while process.poll() is None and not checkpoint.exists():  # until it trains
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "the same command goes on from step" in errors
    step = read_checkpoint(checkpoint).step
    assert f"from step {step}" in errors


def test_an_error_leaves_no_worker_that_python_would_wait_for(
    train: Callable[..., FitReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        assert multiprocessing.active_children()
        raise AudioError("song.flac: cannot be read")

    monkeypatch.setattr(Task, "validation_step", fail)
    with pytest.raises(AudioError, match="cannot be read"):
        train("run", "hardware.n_workers=1")
    assert not multiprocessing.active_children()


def test_two_processes_train_as_one_with_twice_the_batch(
    tmp_path: Path, train: Callable[..., FitReport], songs: Path
) -> None:
    # A large eps keeps Adam from making whole steps of gradients that are rounding errors.
    options = ["steps=3", "optimizer.eps=1e-2", "optimizer.rate=1e-2"]
    train("one", *options, "batch_size=4")
    command = [sys.executable, "-m", "dttnet", "train", str(tmp_path / "tiny.yaml"), "--data", str(songs)]
    devices = ["batch_size=4", "hardware.devices=2", "hardware.strategy=ddp"]
    result = subprocess.run(
        [*command, "-o", str(tmp_path / "two"), *options, *devices],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=dict(os.environ, OMP_NUM_THREADS="1"),
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("3 steps done") == 1
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one.keys() == two.keys()
    for name in one:
        if "running" in name or "network" in name:
            # The sums of a batch are rounded in another order. Without synchronised normalisation the statistics
            # differ by 1e-2.
            torch.testing.assert_close(two[name], one[name], atol=2e-6, rtol=2e-4, msg=name)
    validated = [float(row["val/usdr"]) for run in ("one", "two") for row in metrics(tmp_path / run) if row["val/usdr"]]
    assert validated[0] == pytest.approx(validated[1], abs=1e-3)  # dB, of weights that differ by rounding


def test_the_average_is_validated_saved_and_exported(
    tmp_path: Path, train: Callable[..., FitReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "network.first.0.weight"
    steps: list[torch.Tensor] = []
    validated: list[torch.Tensor] = []
    train_step, validate = Task.training_step, Task.validation_step

    def watch_training(task: Task, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
        steps.append(task.state_dict()[name].clone())  # before this step
        return train_step(task, batch, index)

    def watch_validation(task: Task, number: int, index: int) -> None:
        validated.append(task.state_dict()[name].clone())
        validate(task, number, index)

    monkeypatch.setattr(Task, "training_step", watch_training)
    monkeypatch.setattr(Task, "validation_step", watch_validation)
    train("run", "steps=4")
    last = contents(tmp_path / "run")
    average = steps[1]  # after the first step
    for n, weights in enumerate([steps[2], steps[3], last[f"weights.{name}"]], 1):
        decay = min(0.9, (1 + n) / (10 + n))
        average = decay * average + (1 - decay) * weights
    torch.testing.assert_close(last[f"average.{name}"], average)
    assert torch.equal(validated[0], last[f"average.{name}"])
    assert not torch.equal(last[f"average.{name}"], last[f"weights.{name}"])
    released = release(tmp_path / "run", tmp_path / "model", which="last", licence="CC0-1.0")
    exported = find_start(str(released.path))
    assert torch.equal(exported.state["first.0.weight"], last[f"average.{name}"])


def test_a_folder_that_is_only_validated_on_is_no_training_data(
    tmp_path: Path, train: Callable[..., FitReport], songs: Path
) -> None:
    (tmp_path / "unseen").mkdir()
    (tmp_path / "unseen" / "valid").symlink_to(songs / "valid")
    train("run", "steps=1", roots=[songs, tmp_path / "unseen"])
    card = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt").card
    assert card.training_data == f"{songs.name} (2 tracks, 0.0 h)"


def test_a_released_model_separates_and_says_what_it_is(
    tmp_path: Path, train: Callable[..., FitReport], songs: Path
) -> None:
    report = train("run")
    released = release(tmp_path / "run", tmp_path / "model", licence="CC0-1.0")
    card = read_card(released.path)
    assert card.licence == "CC0-1.0"
    assert card.training_data.startswith(f"{songs.name} (2 tracks, 0.0 h)")
    assert card.hyperparameters["architecture"] == "dttnet"
    assert card.n_parameters > 0
    text = released.card_path.read_text()
    for stem in STEMS:
        assert f"{stem} " in card.quality
    for part in ("CC0-1.0", card.quality, "parity with torch", "growth: 2", "exponential moving average"):
        assert part in text
    assert report.best_usdr is not None
    mix = noise(44100).T.astype(np.float32)
    stems = Separator(str(tmp_path / "model")).separate(mix, 44100)
    # What every model of four stems does, see test_separator.py.
    np.testing.assert_allclose(sum(stems.values()), mix, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    # No mask of a few steps comes near the limit, which would leave something to share out.
    [(), ("network.masks_add_up=true", "network.mask_limit=9"), ("network.masks_add_up=true", "loss.consistent=false")],
)
def test_the_bare_estimates_of_masks_that_learned_to_add_up_add_up(
    tmp_path: Path, train: Callable[..., FitReport], options: tuple[str, ...]
) -> None:
    # All bins but that of half the sample rate: what is above a network's, stems have only where all is made to add up.
    train("run", "network.mask=true", "transform.n_bins=256", *options)
    release(tmp_path / "run", tmp_path / "model")
    mix = noise(44100, peak=0.5).T.astype(np.float32)
    bare, made = (  # without the filter, which only what adds up goes through
        Separator(str(tmp_path / "model"), adds_up=adds_up, quality="fast").separate(mix, 44100)
        for adds_up in (False, True)
    )
    for stem in STEMS[:3]:  # "other" has that last bin
        # Weights of float32, and a network's sums.
        np.testing.assert_allclose(bare[stem], made[stem], atol=1e-5)


def test_some_stems_of_a_run_make_a_model_of_their_own(tmp_path: Path, train: Callable[..., FitReport]) -> None:
    train("run", "network.mask=true")
    release(tmp_path / "run", tmp_path / "all")
    part = release(tmp_path / "run", tmp_path / "part", stems=["bass", "vocals"])
    assert part.path.name == "bass-vocals.onnx"
    assert part.card.stems == ("bass", "vocals")
    assert "drums" not in part.card.quality
    mix = noise(44100, peak=0.5).T.astype(np.float32)
    of_all, of_part = (Separator(str(tmp_path / name), adds_up=False).separate(mix, 44100) for name in ("all", "part"))
    for stem in part.card.stems:
        # Sums of float32 in another order.
        np.testing.assert_allclose(of_part[stem], of_all[stem], atol=1e-5)
    with pytest.raises(UsageError, match="gives vocals, drums, bass, other, but not piano"):
        release(tmp_path / "run", tmp_path / "none", stems=["piano"])
    assert not (tmp_path / "none").exists()


def test_fine_tuning_starts_from_the_model(tmp_path: Path, train: Callable[..., FitReport]) -> None:
    train("first")
    released = release(tmp_path / "first", tmp_path / "model")
    (tmp_path / "tiny.yaml").write_text("steps: 1\nn_frames: 16\nhardware: {n_workers: 0, accelerator: cpu}\n")
    before = find_start(str(tmp_path / "model")).state
    for start in (str(tmp_path / "model"), str(released.path), str(tmp_path / "first")):
        train(f"from {Path(start).name}", "optimizer.rate=1e-30", start=start)
        after = read_checkpoint(tmp_path / f"from {Path(start).name}" / "checkpoints" / "last.ckpt")
        assert after.card.stems == STEMS
        assert after.experiment.loss.consistent
        assert "started from" in after.card.training_data
        trained = {name for name in before if "running" not in name and "num_batches" not in name}
        for name in trained:
            # A step of size 1e-30 is none.
            assert torch.equal(after.state[name], before[name]), name
    own = find_start(str(tmp_path / "model")).card.transform.n_bins
    with pytest.raises(UsageError, match=rf"transform.n_bins is 16, that of .* is {own}: leave it out"):
        train("other bins", "transform.n_bins=16", start=str(tmp_path / "model"))
    with pytest.raises(UsageError, match="network has growth but no architecture: give a configuration with the whole"):
        train("other network", "network.growth=16", start=str(tmp_path / "model"))


def joint_start(config: NetworkConfig) -> Start:
    torch.manual_seed(0)
    card = NetworkCard(
        stems=STEMS[: config.n_stems],
        transform=Transform(n_fft=512, hop=128, n_bins=config.n_bins),
        n_frames=16,
        frame_multiple=2,
        hyperparameters=config.to_dict(),
        licence="",
        training_data="",
    )
    return Start(name="joint", card=card, state=build_network(config).state_dict())


def network_of(start: Start) -> torch.nn.Module:
    network = build_network(network_config(dict(start.card.hyperparameters))).eval()
    start.load_into(network)
    return network


@pytest.mark.parametrize(
    "network",
    [
        DTTNetConfig(n_bins=64, n_stems=4, growth=4, n_scales=1, n_subbands=2, mask=True, spectrum_skip=True),
        DTTNetConfig(n_bins=64, n_stems=4, growth=4, n_scales=1, band_widths=(16, 48), band_folds=(1, 3), mask=True),
    ],
    ids=["sub-bands", "bands"],
)
def test_some_stems_of_a_network_of_masks_stay_what_users_get_of_them(network: DTTNetConfig) -> None:
    start = joint_start(network)
    joint = network_of(start)
    mixture = torch.randn(2, 4, 16, 64)
    with torch.no_grad():
        estimates = joint(mixture)
        shares = missing_shares(list(estimates.numpy().swapaxes(0, 1)), mixture.numpy())
        made_to_add_up = estimates.numpy() + np.stack(shares, 1)
        for adds_up, expected in ((True, made_to_add_up), (False, estimates.numpy())):
            part = take_stems(start, ["bass", "vocals"], adds_up=adds_up)
            assert part.card.stems == ("bass", "vocals")
            network_of_two = network_of(part)
            # Sums of float32 in another order.
            np.testing.assert_allclose(network_of_two(mixture), expected[:, [2, 0]], atol=1e-5)


@pytest.mark.parametrize("path", ["gru", "attention", "convolution"])
def test_a_dual_path_of_another_kind_begins_as_none(path: PathType) -> None:
    start = joint_start(DTTNetConfig(n_bins=64, n_stems=4, growth=4, n_scales=1, n_heads=2))
    other = exchange_path(start, path, n_layers=3, n_heads=1, seed=1)
    assert [other.card.hyperparameters[name] for name in ("rnn", "n_dual_path_layers", "n_heads")] == [path, 3, 1]
    found, without = network_of(other), network_of(start)
    without.dual_path = torch.nn.Identity()
    x = torch.randn(1, 4, 16, 64)
    with torch.no_grad():
        assert torch.equal(found(x), without(x))
    # It can learn: some weights get gradients through the layers that are zero now.
    found(x).square().mean().backward()
    assert any(parameter.grad.any() for parameter in found.dual_path.parameters())


@pytest.mark.parametrize("path", ["lstm", "attention", "convolution"])
def test_added_layers_of_the_dual_path_begin_as_nothing(path: PathType) -> None:
    config = DTTNetConfig(n_bins=64, n_stems=4, growth=4, n_scales=1, n_heads=2, n_dual_path_layers=1, rnn=path)
    start = joint_start(config)
    deeper = change_depth(start, 3, seed=1)
    assert deeper.card.hyperparameters["n_dual_path_layers"] == 3
    found = network_of(deeper)
    x = torch.randn(1, 4, 16, 64)
    with torch.no_grad():
        assert torch.equal(found(x), network_of(start)(x))
    found(x).square().mean().backward()
    for units in (found.dual_path.along_time, found.dual_path.along_frequency):
        for unit in units:  # each of them can learn
            assert any(parameter.grad.any() for parameter in unit.parameters())


def test_a_dual_path_of_fewer_layers_has_the_first_ones() -> None:
    config = DTTNetConfig(n_bins=64, n_stems=4, growth=4, n_scales=1, n_heads=2, n_dual_path_layers=3)
    start = joint_start(config)
    shallow = change_depth(start, 1, seed=1)
    assert shallow.card.hyperparameters["n_dual_path_layers"] == 1
    found, expected = network_of(shallow), network_of(start)
    del expected.dual_path.along_time[1:], expected.dual_path.along_frequency[1:]
    x = torch.randn(1, 4, 16, 64)
    with torch.no_grad():
        assert torch.equal(found(x), expected(x))


def test_heads_that_are_joined_begin_as_what_they_were() -> None:
    config = DTTNetConfig(n_bins=64, n_stems=4, growth=64, n_scales=1, n_heads=4, n_dual_path_layers=2, rnn="attention")
    start = joint_start(config)
    # Channels that are normalised in different ways, as after training.
    start = replace(
        start, state={name: t + 0.1 * torch.rand_like(t) if t.ndim == 1 else t for name, t in start.state.items()}
    )
    x = torch.randn(2, 4, 16, 64)
    for n_heads in (2, 1):
        joined = join_heads(start, n_heads)
        assert joined.card.hyperparameters["n_heads"] == n_heads
        found = network_of(joined)
        with torch.no_grad():
            # Sums of float32 in another order.
            torch.testing.assert_close(found(x), network_of(start)(x), atol=1e-4, rtol=1e-4)
        # What one head's channels do to another's is nothing yet, but can be learned.
        found(x).square().mean().backward()
        weight = found.dual_path.along_time[0].project.weight
        assert torch.equal(weight[:16, 32:48], torch.zeros(16, 16))
        assert weight.grad[:16, 32:48].all()


@pytest.mark.parametrize(
    ("options", "n_heads", "message"),
    [
        ({"rnn": "lstm"}, 1, r"joint: 2 heads of 32 channels \(lstm\) cannot become 1"),
        ({"n_heads": 4}, 3, r"joint: 4 heads of 16 channels \(attention\) cannot become 3"),
        ({"growth": 20}, 1, r"joint: 2 heads of 20 channels \(attention\) cannot become 1"),
    ],
    ids=["RNNs", "no whole part", "other groups"],
)
def test_heads_that_cannot_be_joined_are_named(options: dict[str, Any], n_heads: int, message: str) -> None:
    config = {"growth": 32, "n_heads": 2, "rnn": "attention", **options}
    start = joint_start(DTTNetConfig(n_bins=64, n_stems=4, n_scales=1, **config))
    with pytest.raises(UsageError, match=message):
        join_heads(start, n_heads)


def test_a_levelled_network_begins_as_what_it_was_at_that_level() -> None:
    start = joint_start(DTTNetConfig(n_bins=64, n_stems=4, growth=4, n_scales=1))
    levelled = level_input(start, 3.2)
    before, after = network_of(start), network_of(levelled)
    x = torch.randn(1, 4, 16, 64)
    x *= 3.2 / x.square().mean().sqrt()
    with torch.no_grad():
        # The gain is one but for rounding.
        torch.testing.assert_close(after(x), before(x), atol=1e-5, rtol=1e-5)
    for other in (0.0, 1.0):
        with pytest.raises(UsageError, match=f"joint knows songs of the level 3.2, the configuration has {other}"):
            level_input(levelled, other)


def test_a_network_for_more_bins_treats_each_part_as_the_lowest() -> None:
    config = DTTNetConfig(n_bins=32, growth=4, n_scales=1, convs_per_block=1, n_dual_path_layers=1, n_heads=1)
    start = joint_start(config)
    more = repeat_bins(start, 96)
    assert (more.card.transform.n_bins, more.card.hyperparameters["n_bins"]) == (96, 96)
    narrow, wide = network_of(start), network_of(more)
    x = torch.randn(1, 4, 8, 32)
    with torch.no_grad():
        expected = narrow.encoder[0].tdf(x)
        found = wide.encoder[0].tdf(x.repeat(1, 1, 1, 3))
    # Sums of float32 in another order.
    torch.testing.assert_close(found, expected.repeat(1, 1, 1, 3), atol=1e-6, rtol=0)
    assert torch.equal(more.state["encoder.0.tfc_in.0.0.weight"], start.state["encoder.0.tfc_in.0.0.weight"])
    bands = joint_start(DTTNetConfig(n_bins=32, growth=4, n_scales=1, band_widths=(8, 24), band_folds=(1, 3)))
    for refused, n_bins in ((start, 80), (bands, 64)):
        with pytest.raises(UsageError, match=f"joint sees 32 bins, the configuration has {n_bins}"):
            repeat_bins(refused, n_bins)


@pytest.mark.parametrize(
    "options",
    [{"n_subbands": 2}, {"band_widths": (16, 48), "band_folds": (1, 3)}, {"rnn": "attention"}],
    ids=["sub-bands", "bands", "attention"],
)
def test_a_network_of_more_channels_begins_as_the_one_it_is_made_of(options: dict[str, Any]) -> None:
    config = DTTNetConfig(
        n_bins=64, n_stems=4, growth=4, n_scales=2, n_dual_path_layers=1, n_heads=2, spectrum_skip=True, **options
    )
    start = joint_start(config)
    # Channels that are normalised in different ways, as after training.
    start = replace(
        start, state={name: t + torch.rand_like(t) if t.ndim == 1 else t for name, t in start.state.items()}
    )
    more = repeat_channels(start, 12, seed=1)
    assert more.card.hyperparameters["n_heads"] == 6
    narrow, wide = network_of(start), network_of(more)
    x = torch.randn(2, 4, 16, 64)
    with torch.no_grad():
        # Sums of float32 in another order.
        torch.testing.assert_close(wide(x), narrow(x), atol=1e-4, rtol=1e-4)
    # Copies of what a channel gives count differently, or they would learn the same for ever.
    seen = more.state["encoder.0.tfc_in.0.0.weight"]
    assert not torch.allclose(seen[:, :4], seen[:, 4:8])
    with pytest.raises(UsageError, match="joint: growth=6 can only start from"):
        repeat_channels(start, 6, seed=1)


def test_training_goes_on_with_more_channels(tmp_path: Path, train: Callable[..., FitReport]) -> None:
    train("narrow", "steps=1")
    train(
        "wide",
        "optimizer.rate=1e-30",
        "steps=1",
        "network.growth=4",
        "network.n_heads=2",
        start=str(tmp_path / "narrow"),
    )
    narrow, wide = (read_checkpoint(tmp_path / run / "checkpoints" / "last.ckpt") for run in ("narrow", "wide"))
    assert wide.card.hyperparameters["growth"] == 4
    name = "encoder.0.tfc_in.0.0.weight"
    summed = wide.state[name][:2].reshape(2, 2, 2, 3, 3).sum(1)
    # Sums of float32 in another order.
    torch.testing.assert_close(summed, narrow.state[name], atol=1e-6, rtol=0)


def test_training_goes_on_at_one_level(tmp_path: Path, train: Callable[..., FitReport]) -> None:
    train("as it comes", "steps=1")
    train("levelled", "optimizer.rate=1e-30", "steps=1", "network.input_rms=3.2", start=str(tmp_path / "as it comes"))
    before, after = (
        read_checkpoint(tmp_path / run / "checkpoints" / "last.ckpt") for run in ("as it comes", "levelled")
    )
    assert after.card.hyperparameters["input_rms"] == 3.2
    name = "encoder.0.tdf.0.0.weight"
    # A step of size 1e-30 is none to weights, but moves zeros.
    torch.testing.assert_close(after.state[name], before.state[name], atol=1e-29, rtol=0)


def test_training_goes_on_with_more_bins(tmp_path: Path, train: Callable[..., FitReport]) -> None:
    train("low", "steps=1", "transform.n_bins=32", "network.bottleneck_factor=4")
    train("all", "optimizer.rate=1e-30", "steps=1", "network.bottleneck_factor=4", start=str(tmp_path / "low"))
    low, full = (read_checkpoint(tmp_path / run / "checkpoints" / "last.ckpt").state for run in ("low", "all"))
    name = "encoder.0.tdf.0.0.weight"
    # A step of size 1e-30 is none to weights, but moves zeros.
    torch.testing.assert_close(full[name], torch.block_diag(*[low[name]] * 4), atol=1e-29, rtol=0)


def test_fine_tuning_may_specialise_in_one_stem(tmp_path: Path, train: Callable[..., FitReport]) -> None:
    train("first", "steps=1", "network.mask=true", "network.masks_add_up=true")
    (tmp_path / "tiny.yaml").write_text("steps: 1\nn_frames: 16\nhardware: {n_workers: 0, accelerator: cpu}\n")
    train("vocals", "stems=[vocals]", start=str(tmp_path / "first"))
    checkpoint = read_checkpoint(tmp_path / "vocals" / "checkpoints" / "last.ckpt")
    assert checkpoint.card.stems == ("vocals",)
    assert not checkpoint.experiment.loss.consistent
    assert release(tmp_path / "vocals", tmp_path / "model").card.stems == ("vocals",)
    with pytest.raises(UsageError, match="first gives vocals, drums, bass, other: it has no piano to start from"):
        train("piano", "stems=[vocals,piano]", start=str(tmp_path / "first"))


def test_another_network_cannot_start_from_it(tmp_path: Path, train: Callable[..., FitReport]) -> None:
    train("first", "steps=1")
    with pytest.raises(ModelError, match="another network than the configuration's"):
        train("second", "network.n_scales=2", start=str(tmp_path / "first"))
    with pytest.raises(UsageError, match="growth=3 can only start from"):
        train("second", "network.growth=3", start=str(tmp_path / "first"))
    (tmp_path / "tiny.yaml").write_text("steps: 1\n")
    with pytest.raises(UsageError, match="names no network"):
        train("third")


def test_a_run_of_another_experiment_is_not_continued(tmp_path: Path, train: Callable[..., FitReport]) -> None:
    train("run", "steps=2")
    before = (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes()
    with pytest.raises(UsageError, match=r"holds a run of another experiment.* seed: 2021 -> 3"):
        train("run", "steps=4", "seed=3")
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes() == before


def test_a_run_on_other_data_or_from_another_start_is_not_continued(
    tmp_path: Path, train: Callable[..., FitReport], songs: Path
) -> None:
    train("run", "steps=2")
    others = tmp_path / "others"
    shutil.copytree(songs, others)
    with pytest.raises(UsageError, match=rf"run: was trained on other data.* undo: {songs.name} .* -> others \("):
        train("run", "steps=4", roots=[others])
    # As many songs of the same lengths, in a folder of the same name.
    same = tmp_path / "elsewhere" / songs.name
    shutil.copytree(songs, same)
    train("run", "steps=2", roots=[same])
    (same / "train" / "song 0").rename(same / "train" / "song 9")
    with pytest.raises(UsageError, match=r"run: was trained on other files than these, .* \(2 tracks"):
        train("run", "steps=4", roots=[same])
    train("start", "steps=1")
    release(tmp_path / "start", tmp_path / "model")
    with pytest.raises(UsageError, match=r"or from another start.*; started from "):
        train("run", "steps=4", start=str(tmp_path / "model"))
    assert read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt").step == 2


def test_a_run_that_goes_on_knows_its_best(tmp_path: Path, train: Callable[..., FitReport]) -> None:
    keep = ("validation.keep=1", "validation.every=1")
    whole = train("whole", *keep, "steps=4")
    train("parts", *keep, "steps=2")
    (tmp_path / "parts").rename(tmp_path / "moved")
    parts = train("moved", *keep, "steps=4")
    assert (parts.best_usdr, parts.best and parts.best.name) == (whole.best_usdr, whole.best and whole.best.name)
    assert parts.best is not None
    assert parts.best.is_file()
    assert [path.name for path in (tmp_path / "moved" / "checkpoints").glob("best-*")] == [parts.best.name]
    assert not (tmp_path / "parts").exists()


@pytest.mark.parametrize("n_workers", [0, 1])
def test_a_broken_song_is_named_in_one_line(
    tmp_path: Path, train: Callable[..., FitReport], songs: Path, n_workers: int
) -> None:
    shutil.copytree(songs, tmp_path / "broken")
    for path in (tmp_path / "broken" / "train").rglob("vocals.wav"):
        soundfile.write(path, np.full((2 * 44100, 2), np.nan), 44100, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"vocals\.wav: its sample at") as caught:
        train("run", f"hardware.n_workers={n_workers}", roots=[tmp_path / "broken"])
    assert "\n" not in str(caught.value)


def test_a_second_file_for_a_stem_is_not_exported_beside_the_first(
    tmp_path: Path, train: Callable[..., FitReport]
) -> None:
    train("run", "steps=1")
    first = release(tmp_path / "run", tmp_path / "model")
    with pytest.raises(UsageError, match=f"{first.path}: gives vocals already"):
        release(tmp_path / "run", tmp_path / "model", stems=["vocals"])
    release(tmp_path / "run", tmp_path / "model")  # in the place of the first


def test_the_best_of_another_experiment_is_not_left_beside_ours(
    tmp_path: Path, train: Callable[..., FitReport]
) -> None:
    train("run", "steps=4")
    (tmp_path / "run" / "checkpoints" / "last.ckpt").unlink()  # as if it was killed before the first
    with pytest.raises(UsageError, match="holds a run of another experiment"):
        train("run", "steps=4", "seed=3")


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path, train: Callable[..., FitReport]) -> None:
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "photo.jpg").write_text("mine")
    with pytest.raises(UsageError, match="exists and is not the folder of a run"):
        train("holiday")
    assert [path.name for path in (tmp_path / "holiday").iterdir()] == ["photo.jpg"]


def test_a_run_that_diverges_says_so(tmp_path: Path, train: Callable[..., FitReport]) -> None:
    with pytest.raises(ModelError, match=r"the loss is (nan|inf) at step .*: training diverged. Lower optimizer.rate"):
        train("run", "optimizer.rate=1e30", "steps=20", "validation.every=20")
    assert not list((tmp_path / "run" / "checkpoints").glob("*.ckpt"))


def test_a_run_that_collapses_to_silence_says_so(tmp_path: Path, train: Callable[..., FitReport]) -> None:
    one = ("stems=[bass]", "loss.consistent=false", "steps=1")
    train("first", *one)
    path = tmp_path / "first" / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    for name in ("network.last.weight", "network.last.bias"):
        checkpoint["state_dict"][name].zero_()
    torch.save(checkpoint, path)
    lines: list[str] = []
    # A step of size 1e-30 is none.
    train("silent", *one, "optimizer.rate=1e-30", start=str(path), lines=lines)
    assert lines == [
        "step 1: validation uSDR in dB: bass 0.00",
        "step 1: bass has collapsed to silence: the estimates are 120 dB below the truth",
    ]


def test_data_without_songs_to_validate_is_said(tmp_path: Path, train: Callable[..., FitReport], songs: Path) -> None:
    only = tmp_path / "only"
    (only / "train").mkdir(parents=True)
    (only / "train" / "song").symlink_to(songs / "train" / "song 0", target_is_directory=True)
    lines: list[str] = []
    report = train("run", roots=[only], lines=lines)
    assert report.best is None
    assert any("no tracks of a split 'valid'" in line for line in lines)
    assert find_checkpoint(tmp_path / "run").name == "last.ckpt"


def test_what_of_the_data_is_not_heard_is_said(tmp_path: Path, train: Callable[..., FitReport], songs: Path) -> None:
    root = tmp_path / "root"
    (root / "train").mkdir(parents=True)
    (root / "train" / "whole").symlink_to(songs / "train" / "song 0", target_is_directory=True)
    for name, files in {"half": ("vocals", "drums", "mixture"), "other names": ("choir",)}.items():
        (root / "train" / name).mkdir()
        for file in files:
            (root / "train" / name / f"{file}.wav").symlink_to(songs / "train" / "song 0" / "vocals.wav")
    lines: list[str] = []
    train("run", "steps=1", roots=[root], lines=lines)
    assert any("1 folder with audio left out, such as train/other names" in line for line in lines)
    assert any("1 of the tracks to train with have a mixture but lack stems, such as half" in line for line in lines)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"no checkpoint"), "not a checkpoint of a dttnet run, or damaged"),
        (lambda path: torch.save({"state_dict": {}}, path), "not a checkpoint of a dttnet run"),
        (lambda path: path.mkdir(), "cannot be read"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    path = tmp_path / "other.ckpt"
    make(path)
    with pytest.raises(DttnetError, match=f"other.ckpt: {message}"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("device", "precision", "clip", "fused"),
    [
        ("cuda", Precision(), None, True),
        ("cuda", Precision(), 1.0, True),
        ("cuda", MixedPrecision("bf16-mixed", "cpu"), None, True),
        ("cuda", MixedPrecision("bf16-mixed", "cpu"), 1.0, False),
        ("cpu", Precision(), None, False),
    ],
)
def test_the_fused_optimizer_is_used_where_it_may_be(
    monkeypatch: pytest.MonkeyPatch, device: str, precision: Precision, clip: float | None, fused: bool
) -> None:
    experiment = load_experiment("quick", ["gradient_clip=" + ("null" if clip is None else str(clip))])
    card = NetworkCard(
        stems=STEMS,
        transform=experiment.transform_config,
        n_frames=64,
        frame_multiple=8,
        licence="",
        training_data="",
    )
    task = Task(experiment, torch.nn.Linear(2, 2), card)
    trainer = SimpleNamespace(precision_plugin=precision, strategy=SimpleNamespace(root_device=torch.device(device)))
    monkeypatch.setattr(Task, "trainer", trainer)
    made: dict[str, object] = {}

    def make(network: torch.nn.Module, **options: object) -> torch.optim.AdamW:
        made.update(options)
        return torch.optim.AdamW(network.parameters())

    with monkeypatch.context() as patch:
        patch.setattr("dttnet.training.task.OPTIMIZERS", {"adamw": make})
        task.configure_optimizers()
    assert made["fused"] is fused


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_synchronised_normalisation_of_one_process_is_the_usual_one(tmp_path: Path, kind: torch.dtype) -> None:
    usual = torch.nn.BatchNorm2d(3)
    ours = SyncBatchNorm().apply(copy.deepcopy(usual))
    x = torch.randn(2, 3, 8, 64, generator=torch.Generator().manual_seed(0)).to(kind)
    torch.distributed.init_process_group("gloo", init_method=(tmp_path / "meeting").as_uri(), rank=0, world_size=1)
    try:
        out, expected = ours(x), usual(x.float())
    finally:
        torch.distributed.destroy_process_group()
    assert out.dtype == kind
    # The input's and output's own rounding.
    tolerance = 1e-5 if kind is torch.float32 else 2e-2
    torch.testing.assert_close(out.float(), expected, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(ours.running_var, usual.running_var)
    assert type(SyncBatchNorm().revert(ours)) is torch.nn.BatchNorm2d


def test_the_rate_follows_its_schedule() -> None:
    def shares(*overrides: str) -> list[float]:
        config = load_experiment("dttnet_vocals", overrides).optimizer
        return [rate_share(config, step, 100) for step in (0, 1, 50, 99)]

    assert shares() == [1, 1, 1, 1]
    assert shares("optimizer.warmup=4")[:2] == [0.25, 0.5]
    decay = shares("optimizer.schedule=exponential", "optimizer.decay=0.5", "optimizer.decay_every=25")
    assert decay == [1, 1, 0.25, 0.125]
    cosine = shares("optimizer.schedule=cosine", "optimizer.final_share=0.2")
    assert cosine[0] == 1
    assert cosine[2] == pytest.approx(0.6)  # halfway between 1 and 0.2
    assert cosine == sorted(cosine, reverse=True)


def test_levels_are_energies_in_decibels() -> None:
    reference = noise(1000).T.astype(np.float32)
    assert level_db(0.1 * reference, reference) == pytest.approx(-20)
    assert level_db(0 * reference, reference) == pytest.approx(-120)


def test_of_a_model_with_two_networks_of_the_same_stems_the_first_is_started_from(
    tmp_path: Path, train: Callable[..., FitReport]
) -> None:
    model = tmp_path / "model"
    train("run", "steps=1")
    first = release(tmp_path / "run", model).path
    train("run", "steps=2")
    second = release(tmp_path / "run", tmp_path / "later", which="last").path
    shutil.copy(second, model / "z.onnx")
    found, expected, other = (find_start(str(path)).state for path in (model, first, second))
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert not all(torch.equal(found[name], other[name]) for name in other)
    # Beside a network of other stems it is not clear which is meant.
    release(tmp_path / "run", tmp_path / "part", stems=["vocals"])
    release(tmp_path / "run", tmp_path / "part", stems=["drums"])
    with pytest.raises(ModelError, match="holds 2 networks; name one of"):
        find_start(str(tmp_path / "part"))
