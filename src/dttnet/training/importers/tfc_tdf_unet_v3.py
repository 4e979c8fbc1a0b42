"""TFC-TDF UNet v3 as its authors publish it (kuielab/sdx23), and the MDX23C files of others in the same form.

A file of weights and a YAML beside it. The weights do not tell the transform, so the YAML is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from dttnet.config import TFCTDFUNetConfig, Transform
from dttnet.errors import ModelError
from dttnet.training.importers import Description, Importer, instruments, rename

# Reference name -> our name, in this order.
_NAMES = (
    (r"^first_conv\.", "first."),
    (r"^encoder_blocks\.(\d+)\.tfc_tdf\.blocks\.", r"encoder.\1."),
    (r"^encoder_blocks\.(\d+)\.downscale\.conv\.", r"down.\1."),
    (r"^bottleneck_block\.blocks\.", "latent."),
    (r"^decoder_blocks\.(\d+)\.upscale\.conv\.", r"up.\1."),
    (r"^decoder_blocks\.(\d+)\.tfc_tdf\.blocks\.", r"decoder.\1."),
    (r"^final_conv\.", "last."),
    (r"\.tfc1\.", ".tfc_in."),
    (r"\.tfc2\.", ".tfc_out."),
    (r"\.shortcut\.", ".residual."),
    # A flat row of (norm, activation, linear), twice.
    (r"\.tdf\.([012])\.", r".tdf.0.\1."),
    (r"\.tdf\.3\.", ".tdf.1.0."),
    (r"\.tdf\.4\.", ".tdf.1.1."),
    (r"\.tdf\.5\.", ".tdf.1.2."),
)
_NORMS = {"InstanceNorm": "instance", "BatchNorm": "batch"}


def _describe(state: Mapping[str, Tensor], settings: Mapping[str, Any], path: Path) -> Description:
    if not settings:
        raise ModelError(
            f"{path}: a TFC-TDF UNet v3, whose transform the file does not tell: give its YAML too (--config FILE)"
        )
    try:
        config, transform, n_frames = _read(settings, len(instruments(settings, path)))
    except ModelError as error:
        raise ModelError(f"{path}: with the values of its YAML: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ModelError(f"{path}: its YAML is not that of a TFC-TDF UNet v3: {what}") from error
    names = {rename(name, _NAMES): name for name in state}
    return Description(
        config=config,
        transform=transform,
        n_frames=n_frames,
        state={ours: state[theirs] for ours, theirs in names.items()},
        names=names,
    )


def _read(settings: Mapping[str, Any], n_stems: int) -> tuple[TFCTDFUNetConfig, Transform, int]:
    audio, model = settings["audio"], settings["model"]
    for name, section in (("audio", audio), ("model", model)):
        if not isinstance(section, Mapping):
            raise ValueError(f"{name} is {section!r}: names with values expected")
    if not n_stems:
        raise ValueError("it names no instruments")
    if list(model["scale"]) != [2, 2]:
        raise ValueError(f"scale is {model['scale']}: only [2, 2] is known")
    if model["norm"] not in _NORMS:
        raise ValueError(f"norm is {model['norm']}: only {' and '.join(_NORMS)} are known")
    config = TFCTDFUNetConfig(
        n_bins=audio["dim_f"],
        n_audio_channels=audio["num_channels"],
        n_stems=n_stems,
        n_channels=model["num_channels"],
        growth=model["growth"],
        n_scales=model["num_scales"],
        units_per_block=model["num_blocks_per_scale"],
        bottleneck_factor=model["bottleneck_factor"],
        n_subbands=model["num_subbands"],
        norm=_NORMS[model["norm"]],  # type: ignore[arg-type]  # one of the two by construction
        activation=model["act"],
    )
    transform = Transform(
        sample_rate=audio.get("sample_rate", 44100),
        n_channels=audio["num_channels"],
        n_fft=audio["n_fft"],
        hop=audio["hop_length"],
        n_bins=audio["dim_f"],
    )
    n_frames = audio["chunk_size"] // audio["hop_length"] + 1 if "chunk_size" in audio else audio["dim_t"]
    return config, transform, -(-n_frames // config.frame_multiple) * config.frame_multiple


TFC_TDF_UNET_V3 = Importer(title="TFC-TDF UNet v3", anchor="first_conv.weight", describe=_describe)
