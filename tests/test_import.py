"""Checkpoints of other programs: what is read, what is refused, and that nothing in them runs."""

from __future__ import annotations

import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

import reference
from dttnet.cli import main
from dttnet.config import BSRNNConfig, DTTNetConfig, TFCTDFUNetConfig, Transform, network_config
from dttnet.errors import ModelError
from dttnet.runtime.onnx import read_card
from dttnet.store import file_sha256, find, published
from dttnet.training.conversion import load_reference
from dttnet.training.export import ParityReport

SMALL = DTTNetConfig(growth=8, n_bins=64, convs_per_block=1, bottleneck_factor=4, n_dual_path_layers=1)


def state(config: DTTNetConfig = SMALL, n_fft: int = 6144) -> dict[str, torch.Tensor]:
    tensors = {name: torch.from_numpy(values) for name, values in reference.weights(config, n_fft).items()}
    counters = {
        name.replace("running_var", "num_batches_tracked"): torch.tensor(7)
        for name in tensors
        if name.endswith("running_var")
    }
    return tensors | counters


def without_transform(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name not in ("window", "freq_pad")}


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


class Hyperparameters:
    """Stands for the objects of other packages that Lightning keeps in its files."""

    def __init__(self, value: int) -> None:
        self.value = value


FORMS = {
    "lightning": lambda tensors: {"state_dict": tensors, "epoch": 4082, "optimizer_states": [{"lr": 1e-3}]},
    "lightning with foreign objects": lambda tensors: {"state_dict": tensors, "hyper_parameters": Hyperparameters(3)},
    "plain": lambda tensors: tensors,
    "plain without the transform": without_transform,
    "under model.": lambda tensors: {f"model.{name}": tensor for name, tensor in tensors.items()},
    "under module.model.": lambda tensors: {f"module.model.{name}": tensor for name, tensor in tensors.items()},
    "compiled": lambda tensors: {"state_dict": {f"_orig_mod.{name}": tensor for name, tensor in tensors.items()}},
    "half precision": lambda tensors: {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()
    },
    "beside other networks": lambda tensors: {
        **{f"net.{name}": tensor for name, tensor in tensors.items()},
        "loss.window": torch.zeros(3),
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_that_is_published_gives_the_same_network(form: str, tmp_path: Path) -> None:
    tensors = state()
    imported = load_reference(saved(tmp_path / "x.ckpt", FORMS[form](tensors)))
    assert imported.config == SMALL
    assert imported.transform.n_fft == 6144
    x = torch.from_numpy(reference.noise((1, 4, 16, 64), 9))
    plain = load_reference(saved(tmp_path / "plain.ckpt", tensors))
    with torch.no_grad():
        difference = (imported.network(x) - plain.network(x)).norm() / plain.network(x).norm()
    # Half-precision weights have 11 bits.
    assert difference <= (5e-3 if form == "half precision" else 0)


def test_safetensors_are_read_too(tmp_path: Path) -> None:
    save_file(state(), tmp_path / "x.safetensors")
    assert load_reference(tmp_path / "x.safetensors").config == SMALL


@pytest.mark.parametrize(
    "config",
    [
        reference.TINY,
        reference.WAVEFORM,
        DTTNetConfig(n_bins=64, growth=8, convs_per_block=2, bottleneck_factor=None, n_dual_path_layers=0, n_heads=1),
        DTTNetConfig(n_bins=96, growth=16, n_scales=3, kernel_size=5, bottleneck_factor=2, rnn="gru", n_heads=4),
        DTTNetConfig(n_bins=32, growth=16, n_scales=1, convs_per_block=1, bottleneck_factor=2, n_stems=4),
    ],
    ids=["tiny", "waveform", "no bottleneck", "gru", "four stems"],
)
def test_every_hyper_parameter_is_read_off_the_shapes(config: DTTNetConfig, tmp_path: Path) -> None:
    assert load_reference(saved(tmp_path / "x.ckpt", state(config))).config == config


@pytest.mark.parametrize("n_fft", [4096, 6144])
@pytest.mark.parametrize("key", ["window", "freq_pad"])
def test_the_transform_is_read_off_either_of_its_tensors(n_fft: int, key: str, tmp_path: Path) -> None:
    tensors = without_transform(state()) | {key: state(n_fft=n_fft)[key]}
    transform = load_reference(saved(tmp_path / "x.ckpt", tensors)).transform
    assert transform.n_fft == n_fft


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.target, "boom"))


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_in_a_file_is_executed(tmp_path: Path, zipped: bool) -> None:
    target = tmp_path / "boom"
    content = {"state_dict": state(), "callbacks": Bomb(target)}
    pickle.loads(pickle.dumps(Bomb(target)))
    assert target.read_text() == "boom"  # the bomb works in a careless program
    target.unlink()
    torch.save(content, tmp_path / "x.ckpt", _use_new_zipfile_serialization=zipped)
    assert load_reference(tmp_path / "x.ckpt").config == SMALL
    assert not target.exists()


def test_a_torchscript_program_is_not_run(tmp_path: Path) -> None:
    saved(tmp_path / "x.ckpt", state())
    with zipfile.ZipFile(tmp_path / "x.ckpt", "a") as archive:
        archive.writestr("x/constants.pkl", b"")  # what torch.load knows TorchScript by
    with pytest.raises(ModelError, match="a TorchScript program"):
        load_reference(tmp_path / "x.ckpt")


def test_networks_that_are_not_stereo_are_refused(tmp_path: Path) -> None:
    tensors = state() | {"first_conv.0.weight": torch.zeros(8, 16, 1, 1)}
    with pytest.raises(ModelError, match="first_conv takes 16 channels"):
        load_reference(saved(tmp_path / "x.ckpt", tensors))


def test_an_error_lists_what_is_missing_unexpected_and_of_the_wrong_shape(tmp_path: Path) -> None:
    tensors = state()
    del tensors["us.0.0.weight"]
    tensors["us.0.0.extra"] = torch.zeros(2)
    tensors["us.1.0.bias"] = torch.zeros(3)
    tensors["ds.0.0.bias"] = torch.full((16,), float("nan"))
    with pytest.raises(ModelError) as caught:
        load_reference(saved(tmp_path / "x.ckpt", tensors))
    message = str(caught.value)
    assert "x.ckpt" in message
    assert "1 missing: up.0.0.weight" in message
    assert "1 unexpected: us.0.0.extra" in message
    assert "1 of the wrong shape: us.1.0.bias is (3,), must be (8,)" in message
    assert "1 with NaN or infinite values: ds.0.0.bias" in message


def test_other_networks_are_refused_by_what_they_hold(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.ckpt", {"encoder.weight": torch.zeros(3)})
    with pytest.raises(ModelError, match=r"not a DTTNet.*encoder\.weight"):
        load_reference(path)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04broken"], ids=["empty", "text", "zip"])
def test_files_that_are_no_checkpoints_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"x\.ckpt: not a checkpoint"):
        load_reference(path)


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.ckpt", state())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ModelError, match="not a checkpoint"):
        load_reference(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing\.ckpt: cannot be read"):
        load_reference(tmp_path / "nothing.ckpt")


MDX23C = """
audio: {chunk_size: 15872, dim_f: 256, dim_t: 256, hop_length: 512, n_fft: 1024, num_channels: 2, sample_rate: 44100}
model: {act: gelu, bottleneck_factor: 4, growth: 8, norm: InstanceNorm, num_blocks_per_scale: 2, num_channels: 8,
  num_scales: 2, num_subbands: 4, scale: [2, 2]}
training: {instruments: [Vocals, Lead Guitar, Bass, Other], target_instrument: null}
augmentations:
  mixup_probs: !!python/tuple
  - 0.2
  - 0.02
"""
"""As the YAML files of others are, with their tuples; the names of the model are those of the golden file."""


def mdx23c(tmp_path: Path, yaml: str = MDX23C) -> tuple[Path, Path]:
    """A checkpoint and its YAML."""
    state = {name: torch.from_numpy(values) for name, values in reference.golden_state("tfc_tdf_v3_tiny").items()}
    (tmp_path / "config.yaml").write_text(yaml)
    return saved(tmp_path / "model.ckpt", state), tmp_path / "config.yaml"


def test_mdx23c_is_read_with_its_yaml(tmp_path: Path) -> None:
    checkpoint, config = mdx23c(tmp_path)
    imported = load_reference(checkpoint, config=config)
    assert imported.config == TFCTDFUNetConfig(n_bins=256, n_stems=4, n_channels=8, growth=8, n_scales=2)
    assert imported.transform == Transform(n_fft=1024, hop=512, n_bins=256)
    assert imported.n_frames == 32
    assert imported.stems == ("vocals", "lead_guitar", "bass", "other")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("num_scales: 2", "num_scales: 3"),
            r"model\.ckpt: its tensors are not those of a TFC-TDF UNet v3:\n  \d+ missing",
        ),
        (("growth: 8", "growth: 4"), r"of the wrong shape: .* is \(16, 8, 2, 2\), must be"),
        (("num_channels: 8,", ""), r"not that of a TFC-TDF UNet v3: 'num_channels' is missing"),
        (("norm: InstanceNorm", "norm: GroupNorm4"), "norm is GroupNorm4: only InstanceNorm and BatchNorm"),
        (("scale: [2, 2]", "scale: [2, 4]"), r"scale is \[2, 4\]"),
        (("act: gelu", "act: elu1"), r"model\.ckpt: with the values of its YAML: .*activation must be"),
        (("dim_f: 256", "dim_f: many"), r"model\.ckpt: "),
        (("audio:", "sound:"), "'audio' is missing"),
        (("audio:", "audio: null\nsound:"), "audio is None: names with values expected"),
        (("training:", "training: null\nlearning:"), "'training' of its YAML is None: names with values expected"),
        (("[Vocals, Lead Guitar, Bass, Other]", "Vocals"), "'instruments' of its YAML is 'Vocals': a list expected"),
        (("[Vocals, Lead Guitar, Bass, Other]", "[]"), "it names no instruments"),
        (("dim_f: 256", "dim_f: 256.0"), "n_bins must be a whole number, is 256.0"),
        (("!!python/tuple", "!!python/object/apply:os.getcwd"), r"config\.yaml: not a plain YAML file"),
        ((MDX23C, "just text"), r"config\.yaml: .*holds no names with values"),
        ((MDX23C, "a: [1"), r"config\.yaml: not a plain YAML file"),
    ],
)
def test_a_yaml_that_does_not_fit_is_refused_with_the_reason(
    change: tuple[str, str], message: str, tmp_path: Path
) -> None:
    assert change[0] in MDX23C
    checkpoint, config = mdx23c(tmp_path, MDX23C.replace(*change, 1))
    with pytest.raises(ModelError, match=message):
        load_reference(checkpoint, config=config)


def test_mdx23c_without_its_yaml_is_refused_with_what_to_do(tmp_path: Path) -> None:
    checkpoint, _ = mdx23c(tmp_path)
    with pytest.raises(ModelError, match=r"a TFC-TDF UNet v3.*give its YAML too \(--config FILE\)"):
        load_reference(checkpoint)
    with pytest.raises(ModelError, match=r"nothing\.yaml: cannot be read"):
        load_reference(checkpoint, config=tmp_path / "nothing.yaml")


@pytest.mark.parametrize("name", ["bsrnn_tiny", "bsrnn_tiny_opt"])
def test_bsrnn_is_recognised_and_read_off_its_shapes(name: str, tmp_path: Path) -> None:
    state = {key: torch.from_numpy(values) for key, values in reference.golden_state(name).items()}
    content = {"state_dict": state, "hyper_parameters": Hyperparameters(3), "epoch": 7}
    imported = load_reference(saved(tmp_path / "x.ckpt", content))
    plain = BSRNNConfig(n_channels=16, n_dual_path_layers=2)
    joint = {"bands": "joint", "n_stems": 2, "n_attention_heads": 2, "attention_channels": 8, "tac": True}
    assert imported.config == (replace(plain, **joint) if name.endswith("opt") else plain)
    assert imported.transform == Transform(n_fft=2048, hop=512, n_bins=1025)


def test_a_bsrnn_with_other_bands_or_layers_is_refused(tmp_path: Path) -> None:
    state = {key: torch.from_numpy(values) for key, values in reference.golden_state("bsrnn_tiny").items()}
    fewer = {key: tensor for key, tensor in state.items() if not key.startswith("BN.40.")}
    with pytest.raises(ModelError, match=r"its 40 bands, of 4, 4, .* bins, are no known scheme"):
        load_reference(saved(tmp_path / "x.ckpt", fewer))
    one_way = {key: tensor for key, tensor in state.items() if not key.endswith("_reverse")}
    with pytest.raises(ModelError, match=r"not those of a BSRNN:\n  16 missing"):
        load_reference(saved(tmp_path / "x.ckpt", one_way))


@pytest.mark.parametrize(("name", "value"), [("group_num", 2), ("mask_ctxt", 1), ("subtract_last_trgt", True)])
def test_a_bsrnn_of_another_kind_that_its_shapes_do_not_show_is_refused(
    name: str, value: object, tmp_path: Path
) -> None:
    content = {
        "state_dict": {key: torch.from_numpy(values) for key, values in reference.golden_state("bsrnn_tiny").items()},
        "hyper_parameters": {"group_num": 1, "mask_ctxt": 0, "cfg_optim": Hyperparameters(3)},
    }
    imported = load_reference(saved(tmp_path / "x.ckpt", content))
    assert imported.assumed == {"subtract_last_trgt": False, "sample_rate": 44100}
    content["hyper_parameters"][name] = value
    with pytest.raises(ModelError, match=rf"x\.ckpt: a BSRNN with {name} {value}: only \w+ is known"):
        load_reference(saved(tmp_path / "x.ckpt", content))


def test_what_a_file_does_not_say_of_its_network_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_nothing(_: object, __: object, path: Path) -> ParityReport:  # to trace 41 bands takes seconds
        path.parent.mkdir()
        path.touch()
        return ParityReport(relative_error=0, tolerance=1)

    monkeypatch.setattr("dttnet.training.conversion.export", write_nothing)
    state = {key: torch.from_numpy(values) for key, values in reference.golden_state("bsrnn_tiny").items()}
    output = run("import", str(saved(tmp_path / "x.ckpt", state)), "--stem", "vocals", "-o", str(tmp_path / "m"))
    assert "the file does not say, and was taken to have: group_num 1, mask_ctxt 0, " in output


def test_two_networks_in_one_file_are_refused(tmp_path: Path) -> None:
    both = {f"{name}.{key}": tensor for name in ("vocals", "drums") for key, tensor in state().items()}
    with pytest.raises(ModelError, match="2 are named"):
        load_reference(saved(tmp_path / "x.ckpt", both))


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["models", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_imported_networks_make_one_model_that_verifies(tmp_path: Path) -> None:
    source = saved(tmp_path / "vocals.ckpt", state())
    folder = tmp_path / "mine"
    output = run("import", str(source), "--stem", "vocals", "-o", str(folder))
    assert "parity with torch" in output
    assert file_sha256(source) in output
    run("import", str(source), "--stem", "bass", "-o", str(folder))
    model = find(str(folder))
    assert [file.name for file in model.files] == ["bass.onnx", "vocals.onnx"]
    card = read_card(folder / "vocals.onnx")
    assert card.stems == ("vocals",)
    assert card.source_sha256 == file_sha256(source)
    assert card.n_frames == 256
    assert network_config(card.hyperparameters) == SMALL
    assert "ok (2 files" in run("verify", str(folder))
    shown = json.loads(run("show", str(folder), "--json"))
    assert [network["stems"] for network in shown["networks"]] == [["bass"], ["vocals"]]
    assert "licence:" in run("show", str(folder))
    assert f"{card.n_parameters / 1e6:.2f} M parameters" in run("show", str(folder))


def test_the_stems_of_mdx23c_come_from_its_yaml(tmp_path: Path) -> None:
    checkpoint, config = mdx23c(tmp_path, MDX23C.replace("Lead Guitar", "drums"))
    run("import", str(checkpoint), "--config", str(config), "-o", str(tmp_path / "m"))
    (file,) = find(str(tmp_path / "m")).files
    assert file.name == "vocals-drums-bass-other.onnx"
    card = read_card(file)
    assert card.stems == ("vocals", "drums", "bass", "other")
    assert (card.n_frames, card.frame_multiple) == (32, 4)
    assert network_config(card.hyperparameters).architecture == "tfc_tdf_unet_v3"
    assert "ok (1 file" in run("verify", str(tmp_path / "m"))


def test_one_target_of_mdx23c_is_one_stem(tmp_path: Path) -> None:
    _, config = mdx23c(tmp_path, MDX23C.replace("target_instrument: null", "target_instrument: Bass"))
    state = {name: torch.from_numpy(values) for name, values in reference.golden_state("tfc_tdf_v3_tiny").items()}
    state["final_conv.2.weight"] = state["final_conv.2.weight"][:16].clone()
    imported = load_reference(saved(tmp_path / "bass.ckpt", state), config=config)
    assert imported.stems == ("bass",)
    assert imported.config.n_stems == 1


def test_without_names_for_the_stems_nothing_is_made(tmp_path: Path) -> None:
    source = saved(tmp_path / "v.ckpt", state())
    result = CliRunner().invoke(main, ["models", "import", str(source), "-o", str(tmp_path / "m")])
    assert result.exit_code == 3
    assert "does not say what its 1 outputs are: name them (--stem)" in result.output
    assert not (tmp_path / "m").exists()


def test_a_published_checkpoint_is_recognised_by_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = saved(tmp_path / "renamed.ckpt", state())
    known = replace(published()[0], sha256=file_sha256(source))
    monkeypatch.setattr("dttnet.training.conversion.published", lambda: [known])
    output = run("import", str(source), "--stem", "vocals", "-o", str(tmp_path / "m"))
    assert f"recognised as {known.file}" in output
    card = read_card(tmp_path / "m" / "vocals.onnx")
    assert "none stated" in card.licence
    assert "MUSDB18-HQ" in card.training_data
    assert known.where in card.source


def test_an_output_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    source = saved(tmp_path / "v.ckpt", state())
    result = CliRunner().invoke(main, ["models", "import", str(source), "--stem", "vocals", "-o", str(source)])
    assert result.exit_code == 1
    assert "v.ckpt" in result.output
    assert "File exists" in result.output


def test_verify_notices_a_changed_weight(tmp_path: Path) -> None:
    run("import", str(saved(tmp_path / "v.ckpt", state())), "--stem", "vocals", "-o", str(tmp_path / "m"))
    path = tmp_path / "m" / "vocals.onnx"
    data = bytearray(path.read_bytes())
    # One weight that no folding changes, wherever it stands in the file.
    weight = state()["encoding_blocks.0.tdf.0.weight"].numpy()
    at = data.find(np.float32(weight.ravel()[0]).tobytes())
    assert at > 0
    data[at : at + 4] = np.float32(1e3).tobytes()
    path.write_bytes(data)
    result = CliRunner().invoke(main, ["models", "verify", str(tmp_path / "m")])
    assert result.exit_code == 3
    assert "its output differs" in result.output


def test_import_says_when_the_number_of_stems_is_wrong(tmp_path: Path) -> None:
    source = saved(tmp_path / "v.ckpt", state())
    result = CliRunner().invoke(main, ["models", "import", str(source), "--stem", "a,b", "-o", str(tmp_path / "m")])
    assert result.exit_code == 3
    assert "gives 1 stems, but 2 are named" in result.output
    assert not (tmp_path / "m").exists()


def test_published_checkpoints_are_listed_with_where_to_get_them_and_their_licence() -> None:
    output = run("list")
    for name in ("vocalsg32_ep4082.ckpt", "bassg32_ep2935.ckpt", "otherg32_ep3605.ckpt"):
        assert name in output
    assert "junyuchen-cjy/DTTNet-Pytorch" in output
    assert "none stated" in output
    assert "zenodo.org/records/13903584" in output
    assert "MDX23C" in output
