"""What a model is: the transform it works on and the shape of its network.

Shared by the torch-free runtime and by training, so it knows only the standard library. Every value, and its type, is
checked when the object is made; nothing else in the package checks them again.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from dttnet.errors import ModelError

RNNType = Literal["lstm", "gru"]
PathType = Literal["lstm", "gru", "attention", "convolution"]
NormType = Literal["batch", "group", "instance"]
ActivationType = Literal["gelu", "relu"]
BandScheme = Literal["vocals", "bass", "drums", "joint"]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ModelError(f"model configuration: {message}")


_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", types.NoneType: "null"}


def _fits(value: object, kind: Any) -> bool:
    """Whether a value is of a field's type. A whole number will do for any number; true and false are no numbers."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return value in arguments
    if origin is types.UnionType:
        return any(_fits(value, one) for one in arguments)
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(one, arguments[0]) for one in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else origin or kind)


def _describe(kind: Any) -> str:
    """A field's type in words."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return " or ".join(", ".join(arguments).rsplit(", ", 1))
    if origin is types.UnionType:
        return " or ".join(_describe(one) for one in arguments)
    if origin is tuple:
        return f"a tuple, each {_describe(arguments[0])}"
    return _WORDS.get(kind, str(kind))


class _Config:
    """Fields of the types that they are declared with, read from and written to plain dictionaries (the metadata of a
    model file)."""

    def __post_init__(self) -> None:
        kinds = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):  # type: ignore[arg-type]  # every subclass is one
            value = getattr(self, field.name)
            _require(
                _fits(value, kinds[field.name]), f"{field.name} must be {_describe(kinds[field.name])}, is {value!r}"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]  # every subclass is one
        unknown = sorted(set(values) - known)
        close = difflib.get_close_matches(unknown[0], known, n=1) if unknown else []
        hint = f"did you mean {close[0]}?" if close else "made by a newer dttnet? Update dttnet"
        _require(not unknown, f"{cls.__name__} does not know {unknown}: {hint}")
        kinds = typing.get_type_hints(cls)
        # JSON and YAML have lists where we have tuples.
        return cls(
            **{
                name: tuple(value) if isinstance(value, list) and typing.get_origin(kinds[name]) is tuple else value
                for name, value in values.items()
            }
        )

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]  # as above


@dataclass(frozen=True, kw_only=True)
class Transform(_Config):
    """The short-time Fourier transform a model works on (paper, section 3.1).

    Periodic Hann window of `n_fft` samples, centred frames every `hop` samples, one-sided, not normalised.
    A network sees the bins `[0, n_bins)`; at the inverse the bins above are zero.
    """

    sample_rate: int = 44100
    n_channels: int = 2
    n_fft: int = 6144
    hop: int = 1024
    n_bins: int = 2048

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.sample_rate > 0, f"sample_rate must be positive, is {self.sample_rate}")
        _require(self.n_channels == 2, f"only stereo networks are known, n_channels is {self.n_channels}")
        _require(self.n_fft > 0 and self.n_fft % 2 == 0, f"n_fft must be even, is {self.n_fft}")
        # The squared window must cover every sample, or the inverse would divide by zero.
        _require(0 < self.hop <= self.n_fft // 2, f"hop must be 1 to n_fft / 2, is {self.hop}")
        _require(
            self.n_fft // 2 % self.hop == 0,
            f"half of n_fft ({self.n_fft}) must be a multiple of hop ({self.hop})",
        )
        _require(0 < self.n_bins <= self.n_fft // 2 + 1, f"n_bins must be 1 to n_fft / 2 + 1, is {self.n_bins}")

    @property
    def band_limit_hz(self) -> float:
        """Highest frequency the network can write; what lies above goes to the complement."""
        return min(self.n_bins * self.sample_rate / self.n_fft, self.sample_rate / 2)


class _NetworkConfig(_Config):
    """Hyper-parameters of one architecture. Its dictionary begins with the name of the architecture."""

    architecture: ClassVar[str]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        values = dict(values)
        named = values.pop("architecture", cls.architecture)
        _require(named == cls.architecture, f"architecture must be {cls.architecture!r} here, is {named!r}")
        return super().from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        return {"architecture": self.architecture, **super().to_dict()}

    def _require_at_least(self, smallest: int, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            _require(value >= smallest, f"{name} must be at least {smallest}, is {value}")


@dataclass(frozen=True, kw_only=True)
class DTTNetConfig(_NetworkConfig):
    """Hyper-parameters of a DTTNet (paper, section 3 and table 1). The defaults are the paper's vocals network.

    Attributes:
        n_bins: Frequency bins F that go in and come out.
        n_audio_channels: Audio channels; each is a real and an imaginary channel of the network.
        n_stems: Stems that come out; the paper has one network per stem.
        growth: Channels after the first convolution, and channels added per scale (the paper's g).
        n_scales: Down- and upsampling steps.
        convs_per_block: Convolutions per TFC (the paper's l).
        kernel_size: Of those convolutions, odd.
        bottleneck_factor: The TDF goes from F to F / factor and back; None is one F to F layer.
        n_dual_path_layers: RNN pairs along time and frequency in the latent part (the paper's L).
        n_heads: Heads that share the weights of the RNNs (the paper's H).
        rnn: Kind of the bidirectional RNN, or what stands in its place.
        norm: Normalisation behind convolutions and linear layers.
        n_subbands: The F axis is cut into this many parts, stacked as channels (TFC-TDF UNet v3).
        band_widths: Bins of each band from 0 Hz up, for bands of different resolution; empty is one for all.
        band_folds: Of each band: so many neighbouring bins are channels of one position.
        spectrum_skip: The last convolution is also fed the input spectrum.
        mask: The output is a complex mask on the input instead of the spectrum itself, and the network
            is fed the spectrum with its magnitudes raised to the power `compression`.
        compression: See `mask`; 1 is none.
        masks_add_up: The masks of the stems are made to add up to one, each by an equal share of what is missing,
            before they are limited.
        mask_limit: The largest magnitude of a mask, but for training; 0 is no limit. Without one, masks of several
            stems that add up can grow without bounds against each other in bins unlike those of training.
        input_rms: The input is brought to this root mean square over its channels, frames and bins, and what is given
            back to that of the input: a song turned up or down gives the same stems, turned up or down. 0 leaves it.
    """

    architecture: ClassVar[str] = "dttnet"

    n_bins: int = 2048
    n_audio_channels: int = 2
    n_stems: int = 1
    growth: int = 32
    n_scales: int = 2
    convs_per_block: int = 3
    kernel_size: int = 3
    bottleneck_factor: int | None = 8
    n_dual_path_layers: int = 4
    n_heads: int = 2
    rnn: PathType = "lstm"
    norm: NormType = "batch"
    n_subbands: int = 1
    band_widths: tuple[int, ...] = ()
    band_folds: tuple[int, ...] = ()
    spectrum_skip: bool = False
    mask: bool = False
    compression: float = 1.0
    masks_add_up: bool = False
    mask_limit: float = 0.0
    input_rms: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_at_least(
            1, "n_bins", "n_audio_channels", "n_stems", "growth", "convs_per_block", "n_heads", "n_subbands"
        )
        self._require_at_least(0, "n_scales", "n_dual_path_layers")
        _require(self.kernel_size % 2 == 1, f"kernel_size must be odd, is {self.kernel_size}")
        self._check_bands()
        _require(
            self.latent_channels % self.n_heads == 0,
            f"n_heads ({self.n_heads}) must divide the latent channels ({self.latent_channels})",
        )
        # One frame of one bin cannot be normalised by itself.
        least = 2 if self.norm == "instance" else 1
        n_latent_bins = self.n_positions // self.frame_multiple
        _require(
            n_latent_bins >= least,
            f"n_bins ({self.n_bins}) leaves {n_latent_bins} bins in the latent part, not {least}",
        )
        if self.bottleneck_factor is not None:
            largest = n_latent_bins // least
            _require(
                1 <= self.bottleneck_factor <= largest,
                f"bottleneck_factor must be 1 to {largest}, so that of the {n_latent_bins} bins of the latent part at "
                f"least {least} are left, is {self.bottleneck_factor}",
            )
        _require(0 < self.compression <= 1, f"compression must be in (0, 1], is {self.compression}")
        _require(self.mask_limit >= 0, f"mask_limit must be at least 0 (no limit), is {self.mask_limit}")
        _require(self.input_rms >= 0, f"input_rms must be at least 0 (as it comes), is {self.input_rms}")
        _require(
            self.mask or not (self.masks_add_up or self.mask_limit),
            "masks_add_up and mask_limit are of networks with mask=true, mask is false",
        )

    def _check_bands(self) -> None:
        widths, folds = self.band_widths, self.band_folds
        _require(
            len(widths) == len(folds) and min((*widths, *folds), default=1) >= 1,
            f"band_widths ({list(widths)}) and band_folds ({list(folds)}) must have as many entries, all positive",
        )
        if not widths:
            multiple = self.n_subbands * self.frame_multiple
            _require(
                self.n_bins % multiple == 0,
                f"n_bins ({self.n_bins}) must be a multiple of n_subbands * 2^n_scales ({multiple})",
            )
            return
        _require(self.n_subbands == 1, f"n_subbands ({self.n_subbands}) must be 1 where there are band_widths")
        _require(sum(widths) == self.n_bins, f"band_widths ({list(widths)}) must add up to n_bins ({self.n_bins})")
        _require(
            all(width % fold == 0 for width, fold in zip(widths, folds, strict=True)),
            f"band_widths ({list(widths)}) must be multiples of band_folds ({list(folds)})",
        )
        _require(
            self.n_positions % self.frame_multiple == 0,
            f"the bands have {self.n_positions} positions: it must be a multiple of 2^n_scales ({self.frame_multiple})",
        )

    @property
    def n_positions(self) -> int:
        """Positions along F that the network works on: bins, or stacks of them."""
        if self.band_widths:
            return sum(width // fold for width, fold in zip(self.band_widths, self.band_folds, strict=True))
        return self.n_bins // self.n_subbands

    @property
    def frame_multiple(self) -> int:
        """The number of frames (and of bins) must be a multiple of this: 2^n_scales."""
        return int(2**self.n_scales)

    @property
    def latent_channels(self) -> int:
        return self.growth * (self.n_scales + 1)


@dataclass(frozen=True, kw_only=True)
class TFCTDFUNetConfig(_NetworkConfig):
    """Hyper-parameters of a TFC-TDF UNet v3 (arXiv 2306.09382). The defaults are the challenge's models A and B.

    Attributes:
        n_bins: Frequency bins F that go in and come out.
        n_audio_channels: Audio channels; each is a real and an imaginary channel of the network.
        n_stems: Stems that come out of the one network.
        n_channels: Channels after the first convolution.
        growth: Channels added per scale.
        n_scales: Down- and upsampling steps.
        units_per_block: TFC-TDF units per scale and in the latent part.
        bottleneck_factor: The TDF goes from F to F / factor and back.
        n_subbands: The F axis is cut into this many parts, stacked as channels.
        norm: Normalisation before the activations.
        activation: Of the whole network.
    """

    architecture: ClassVar[str] = "tfc_tdf_unet_v3"

    n_bins: int = 4096
    n_audio_channels: int = 2
    n_stems: int = 4
    n_channels: int = 64
    growth: int = 64
    n_scales: int = 5
    units_per_block: int = 2
    bottleneck_factor: int = 4
    n_subbands: int = 4
    norm: Literal["batch", "instance"] = "instance"
    activation: ActivationType = "gelu"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_at_least(
            1, "n_bins", "n_audio_channels", "n_stems", "n_channels", "units_per_block", "n_subbands"
        )
        self._require_at_least(0, "n_scales", "growth")
        _require(
            self.n_bins % (self.n_subbands * self.frame_multiple) == 0,
            f"n_bins ({self.n_bins}) must be a multiple of n_subbands * 2^n_scales "
            f"({self.n_subbands * self.frame_multiple})",
        )
        # Two bins must be left even in the latent part: one frame of one bin cannot be normalised.
        largest = self.n_bins // self.n_subbands // self.frame_multiple // 2
        _require(
            1 <= self.bottleneck_factor <= largest,
            f"bottleneck_factor must be 1 to {largest} (half the bins of the latent part), is {self.bottleneck_factor}",
        )

    @property
    def frame_multiple(self) -> int:
        """The number of frames (and of bins) must be a multiple of this: 2^n_scales."""
        return int(2**self.n_scales)


_BANDS: dict[BandScheme, tuple[tuple[int, int], ...]] = {
    "vocals": ((10, 100), (12, 250), (8, 500), (8, 1000), (2, 2000)),
    "bass": ((10, 50), (5, 100), (6, 500), (4, 1000), (4, 2000)),
    "drums": ((20, 50), (10, 100), (8, 250), (8, 500), (8, 1000)),
    "joint": ((20, 50), (10, 100), (8, 250), (8, 500), (8, 1000), (2, 2000)),
}
"""Of each scheme: number of bands and their width in Hz, from 0 Hz up (arXiv 2209.15174, section III-B; `joint`:
arXiv 2603.09187). One more band takes the rest."""


@dataclass(frozen=True, kw_only=True)
class BSRNNConfig(_NetworkConfig):
    """Hyper-parameters of a BSRNN (arXiv 2209.15174), also as replicated and improved in arXiv 2603.09187.

    The defaults are the paper's vocals network.

    Attributes:
        n_bins: Frequency bins F that go in and come out: all of the transform, 0 Hz to half the sample rate.
        sample_rate: In Hz: what the widths of the bands are counted in.
        n_audio_channels: Audio channels; the network works on each as if it were mono.
        n_stems: Stems that come out, each with its own mask estimation.
        bands: How the bins are split: for vocals (and other), bass, drums, or for several stems at once.
        n_channels: Channels of a band (the paper's N).
        n_dual_path_layers: RNN pairs along time and bands.
        rnn: Kind of the bidirectional RNN.
        n_attention_heads: Of the attention along time behind each pair; 0 is none.
        attention_channels: Of the queries and keys, per head and band.
        tac: Behind each pair the audio channels see each other (transform, average, concatenate).
    """

    architecture: ClassVar[str] = "bsrnn"

    n_bins: int = 1025
    sample_rate: int = 44100
    n_audio_channels: int = 2
    n_stems: int = 1
    bands: BandScheme = "vocals"
    n_channels: int = 128
    n_dual_path_layers: int = 12
    rnn: RNNType = "lstm"
    n_attention_heads: int = 0
    attention_channels: int = 16
    tac: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_at_least(
            1, "n_bins", "sample_rate", "n_audio_channels", "n_stems", "n_channels", "attention_channels"
        )
        self._require_at_least(0, "n_dual_path_layers", "n_attention_heads")
        _require(
            min(self.band_widths) >= 1,
            f"n_bins ({self.n_bins}) are too few for the bands of {self.bands!r} at {self.sample_rate} Hz",
        )
        _require(
            self.n_attention_heads == 0 or self.n_channels % self.n_attention_heads == 0,
            f"n_attention_heads ({self.n_attention_heads}) must divide n_channels ({self.n_channels})",
        )

    @property
    def band_widths(self) -> tuple[int, ...]:
        """Bins of each band, from 0 Hz up."""
        widths = [
            int(width_hz * self.n_bins / (self.sample_rate / 2)) for n, width_hz in _BANDS[self.bands] for _ in range(n)
        ]
        return (*widths, self.n_bins - sum(widths))

    @property
    def frame_multiple(self) -> int:
        """Any number of frames will do."""
        return 1


NetworkConfig = DTTNetConfig | TFCTDFUNetConfig | BSRNNConfig

_ARCHITECTURES: dict[str, type[DTTNetConfig] | type[TFCTDFUNetConfig] | type[BSRNNConfig]] = {
    config.architecture: config for config in (DTTNetConfig, TFCTDFUNetConfig, BSRNNConfig)
}


def network_config(values: Mapping[str, Any]) -> NetworkConfig:
    """The configuration of a network from `{"architecture": ..., hyper-parameters}`, the form of `to_dict`.

    Raises:
        ModelError: The architecture or a hyper-parameter is not known or out of range.
    """
    known = f"architecture must be one of {', '.join(_ARCHITECTURES)}"
    _require("architecture" in values, f"{known}, is not given")
    name = values["architecture"]
    _require(name in list(_ARCHITECTURES), f"{known}, is {name!r}")  # a list, as it may be of any type
    return _ARCHITECTURES[name].from_dict(values)


@dataclass(frozen=True, kw_only=True)
class NetworkCard(_Config):
    """What the file of one network says about itself: stored as JSON in the metadata of the ONNX file.

    Attributes:
        stems: The stems the network gives, in the order of its outputs.
        transform: The transform its spectra are made with.
        n_frames: Frames per chunk in training; the runtime may use others.
        frame_multiple: The number of frames must be a multiple of this.
        hyperparameters: Of the network, as `network_config` takes them: for people and for re-training.
        licence: Of the weights.
        training_data: In words.
        quality: Measured quality, in words, with what it was measured on; empty if unknown.
        source: Where the weights come from.
        source_sha256: Hash of the file they were converted from; empty if they were trained here.
        probe_norm: L2 norm of the output of the source network for `probe_input`, which `models verify` repeats.
        n_parameters: Trainable parameters; 0 if unknown.
        gmac_per_second: Thousand million multiply-accumulates per second of audio, for all stems; 0 if unknown.
    """

    stems: tuple[str, ...]
    transform: Transform
    n_frames: int
    frame_multiple: int
    hyperparameters: dict[str, Any] = dataclasses.field(default_factory=dict)
    licence: str
    training_data: str
    quality: str = ""
    source: str = ""
    source_sha256: str = ""
    probe_norm: float = 0.0
    n_parameters: int = 0
    gmac_per_second: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(bool(self.stems), "a network needs at least one stem")
        _require(len(set(self.stems)) == len(self.stems), f"stems are named twice: {self.stems}")
        for stem in self.stems:
            _require(stem.isidentifier(), f"a stem's name must be a plain word (it becomes a file name), is {stem!r}")
        _require(self.frame_multiple >= 1, f"frame_multiple must be at least 1, is {self.frame_multiple}")
        _require(
            self.n_frames % self.frame_multiple == 0,
            f"n_frames ({self.n_frames}) must be a multiple of frame_multiple ({self.frame_multiple})",
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        values = dict(values)
        values["transform"] = Transform.from_dict(values["transform"])
        return super().from_dict(values)
