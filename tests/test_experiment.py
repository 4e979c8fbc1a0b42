"""Configurations of training runs: the YAML files, what may be changed, and what is refused."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch

from dttnet.config import BSRNNConfig, DTTNetConfig, TFCTDFUNetConfig
from dttnet.errors import UsageError
from dttnet.nn.build import build_network
from dttnet.training.augment import AugmentConfig
from dttnet.training.data import DataConfig
from dttnet.training.experiment import (
    Experiment,
    OptimizerConfig,
    ValidationConfig,
    differences,
    load_experiment,
    read_experiment,
    shipped_configs,
)
from dttnet.training.losses import LossConfig, build_loss
from dttnet.training.transform import SpectralTransform

TRAINABLE = {
    # ../spec: the paper's tables, and the state dicts of the reference implementations.
    "dttnet_vocals": 4_958_468,
    "dttnet_drums": 4_958_468,
    "dttnet_other": 4_958_468,
    "dttnet_bass": 4_184_388,
}


@pytest.mark.parametrize("name", shipped_configs())
def test_every_configuration_of_the_package_builds(name: str) -> None:
    experiment = load_experiment(name)
    assert experiment.description
    if not experiment.network:  # comes with the model that training starts from
        assert name.startswith("finetune")
        return
    with torch.device("meta"):
        network = build_network(experiment.network_config)
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    assert n_parameters == TRAINABLE.get(name, n_parameters)
    build_loss(experiment.loss, SpectralTransform(experiment.transform_config), len(experiment.stems))
    assert experiment.n_samples > 0


def test_there_is_one_per_stem_of_the_paper_and_for_both_baselines() -> None:
    names = {f"{network}_{stem}" for network in ("dttnet", "bsrnn") for stem in ("vocals", "drums", "bass", "other")}
    assert names | {"tfc_tdf_v3", "finetune", "quick"} <= set(shipped_configs())
    kinds = {type(load_experiment(name).network_config) for name in ("quick", "quick_bsrnn", "quick_tfc_tdf_v3")}
    assert kinds == {DTTNetConfig, BSRNNConfig, TFCTDFUNetConfig}


def test_the_papers_recipe() -> None:
    paper = load_experiment("dttnet_vocals")
    # spec/dttnet.md, "Reference training recipe" and "Transform".
    assert paper.n_samples == 261_120
    assert (paper.optimizer.kind, paper.optimizer.rate, paper.optimizer.schedule) == ("adamw", 2e-4, "constant")
    assert (paper.batch_size, paper.seed, paper.loss.kind) == (16, 2021, "l1")
    assert load_experiment("dttnet_bass").transform_config.n_bins == 864


def test_a_file_changes_what_it_is_based_on(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("base: dttnet_vocals\nstems: [bass]\nnetwork: {growth: 16}\n")
    (tmp_path / "yours.yaml").write_text("base: mine.yaml\nsteps: 7\n")
    experiment = load_experiment(str(tmp_path / "yours.yaml"), ["network.n_heads=4", "optimizer.rate=1e-3"])
    assert experiment.stems == ["bass"]
    assert experiment.steps == 7
    assert experiment.optimizer.rate == 1e-3
    config = experiment.network_config
    assert isinstance(config, DTTNetConfig)
    assert (config.growth, config.n_heads, config.n_dual_path_layers) == (16, 4, 4)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("batchsize=4", "'batchsize=4': batchsize is not a known key; did you mean batch_size?"),
        ("optimizer.lr=1", "optimizer.lr is not a known key; known are decay, decay_every, eps"),
        ("loss.windowsizes=[1]", "loss.windowsizes is not a known key; did you mean loss.window_sizes?"),
        ("steps=many", "steps: Value 'many' of type 'str' could not be converted to Integer"),
        ("steps=0", "steps is 0: give at least 1"),
        ("steps", "'steps': give key=value"),
        ("stems=[1", "'stems=\\[1': "),
        ("hardware.precision=int8", "hardware.precision is 'int8': give one of auto, float32"),
        ("optimizer.kind=sgd", "optimizer.kind is 'sgd': give adamw, adam or muon"),
        ("seed=-1", "seed is -1: give 0 to 4294967295"),
        ("seed=4294967296", "seed is 4294967296: give 0 to 4294967295"),
        ("optimizer.eps=-1", "optimizer.eps is -1.0: it must not be negative"),
        ("optimizer.weight_decay=-1", "optimizer.weight_decay is -1.0: it must not be negative"),
        ("base=quick", "'base=quick': name that configuration in the place of dttnet_vocals"),
        ("ema_decay=1", "ema_decay is 1.0: give 0 to 1, or null"),
        ("gradient_clip=-1", "gradient_clip is -1.0: it must be positive, or null"),
        ("optimizer.decay=-1", "optimizer.decay is -1.0: give more than 0, at most 1"),
        ("optimizer.final_share=2", "optimizer.final_share is 2.0: give 0 to 1"),
    ],
)
def test_what_is_not_known_is_an_error(override: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_experiment("dttnet_vocals", [override])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("network.width=3", r"network: model configuration: DTTNetConfig does not know \['width'\]"),
        ("network.groth=3", r"network: .* does not know \['groth'\]: did you mean growth\?"),
        ("network.architecture=unet", "network: model configuration: architecture must be one of dttnet"),
        ("network.n_stems=4", "network.n_stems is 4, but transform and stems make it 1: leave it out"),
        ("transform.n_fft=5", "transform: model configuration: n_fft must be even, is 5"),
        ("stems=[choir]", "stems has choir, but mixture_stems are vocals, drums, bass, other"),
        ("stems=[]", "stems is empty"),
        ("n_frames=255", "n_frames is 255: this network needs a multiple of 4"),
        ("loss.consistent=true", "loss.consistent makes the stems add up to the mixture, but vocals are not all of it"),
        (
            "network.masks_add_up=true",
            "network: model configuration: masks_add_up and mask_limit are of networks with mask=true, mask is false",
        ),
    ],
)
def test_a_network_that_cannot_be_is_an_error(override: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _ = load_experiment("dttnet_vocals", [override]).network_config


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    for content, message in (
        (b"steps: [1", "broken.yaml: not YAML"),
        (b"- 1\n- 2\n", "broken.yaml: must be names and values"),
        (b"\xff\xfe\x00", "broken.yaml: cannot be read"),
        (b"base: broken.yaml\n", "broken.yaml: is based on itself"),
        (b"base: nowhere\n", "configuration 'nowhere': neither a YAML file nor one of the package"),
    ):
        broken.write_bytes(content)
        with pytest.raises(UsageError, match=message):
            load_experiment(str(broken))


def test_a_network_of_another_architecture_starts_afresh(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "base: dttnet_vocals\ntransform: {n_fft: 2048, hop: 512, n_bins: 1025}\nnetwork: {architecture: bsrnn}\n"
    )
    assert load_experiment(str(tmp_path / "mine.yaml")).network_config == BSRNNConfig(n_stems=1)


def test_what_is_stored_is_what_was_run() -> None:
    experiment = load_experiment("tfc_tdf_v3", ["steps=5", "loss.stem_weights=[1,2,3,4]", "gradient_clip=1.5"])
    assert read_experiment(experiment.to_yaml(), "stored") == experiment


def test_only_what_decides_the_weights_keeps_a_run_from_going_on() -> None:
    old = load_experiment("dttnet_vocals")
    free = load_experiment("dttnet_vocals", ["hardware.n_workers=7", "steps=9", "validation.every=3", "save_every=2"])
    assert differences(old, free) == []
    other = load_experiment("dttnet_vocals", ["seed=1", "optimizer.rate=1e-3"])
    assert differences(old, other)[0] == "seed: 2021 -> 1"
    assert len(differences(old, other)) == 2


def test_a_cosine_is_another_one_with_other_steps() -> None:
    old, new = (load_experiment("quick", [f"steps={steps}"]) for steps in (600, 700))
    assert differences(old, new) == ["steps: 600 -> 700"]


@pytest.mark.parametrize("kind", [Experiment, DataConfig, AugmentConfig, LossConfig, OptimizerConfig, ValidationConfig])
def test_every_key_is_described(kind: type) -> None:
    described = {
        name
        for line in (kind.__doc__ or "").splitlines()
        if (match := re.match(r" {8}(\w[\w, ]*):", line))
        for name in match[1].split(", ")
    }
    assert {f.name for f in dataclasses.fields(kind)} == described
