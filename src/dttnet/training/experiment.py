"""One experiment: everything that decides what a training run does, in one YAML file.

Built on OmegaConf: the dataclasses below give names, types and defaults; a YAML file, the files it is based on and
`key=value` arguments are merged over them. Names that are not known are errors.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from dttnet.config import BSRNNConfig, NetworkConfig, Transform, network_config
from dttnet.dataset import STEMS
from dttnet.errors import ModelError, UsageError
from dttnet.training.data import DataConfig
from dttnet.training.losses import LossConfig

_CONFIGS = "configs"
PRECISIONS = {"float32": "32-true", "float16": "16-mixed", "bfloat16": "bf16-mixed"}
"""Our names of Lightning's; mixed precision keeps the weights, the transforms and the loss in float32."""


@dataclass
class OptimizerConfig:
    """The optimiser and its learning rate over time.

    Attributes:
        kind: "adamw", "adam", or "muon" (see `dttnet.training.optimizer`), which learns faster.
        rate: Learning rate.
        weight_decay: None is the library's default (0.01 for AdamW and Muon, 0 for Adam).
        eps: Of the denominator.
        schedule: "constant", "exponential" or "cosine".
        warmup: Steps in which the rate rises from zero.
        decay, decay_every: For "exponential": times `decay` every so many steps.
        final_share: For "cosine": what is left of the rate at the last step.
    """

    kind: str = "adamw"
    rate: float = 2e-4
    weight_decay: float | None = None
    eps: float = 1e-8
    schedule: str = "constant"
    warmup: int = 0
    decay: float = 0.98
    decay_every: int = 1000
    final_share: float = 0.02

    def __post_init__(self) -> None:
        _require(self.kind in ("adamw", "adam", "muon"), f"optimizer.kind is {self.kind!r}: give adamw, adam or muon")
        _require(
            self.schedule in ("constant", "exponential", "cosine"),
            f"optimizer.schedule is {self.schedule!r}: give constant, exponential or cosine",
        )
        _require(self.rate > 0, f"optimizer.rate is {self.rate}: it must be positive")
        _require(self.eps >= 0, f"optimizer.eps is {self.eps}: it must not be negative")
        _require(
            self.weight_decay is None or self.weight_decay >= 0,
            f"optimizer.weight_decay is {self.weight_decay}: it must not be negative",
        )
        _require(self.warmup >= 0, f"optimizer.warmup is {self.warmup}: it must not be negative")
        _require(0 < self.decay <= 1, f"optimizer.decay is {self.decay}: give more than 0, at most 1")
        _require(self.decay_every >= 1, f"optimizer.decay_every is {self.decay_every}: give at least 1")
        _require(0 <= self.final_share <= 1, f"optimizer.final_share is {self.final_share}: give 0 to 1")


@dataclass
class ValidationConfig:
    """When and on what a run is measured.

    Attributes:
        every: Steps between validations.
        max_tracks: At most so many tracks; None is all.
        max_seconds: Only so much of each track, from its middle; None is all of it.
        keep: So many best checkpoints are kept.
    """

    every: int = 1000
    max_tracks: int | None = None
    max_seconds: float | None = None
    keep: int = 3

    def __post_init__(self) -> None:
        _require(self.every >= 1, f"validation.every is {self.every}: give at least 1")
        _require(self.keep >= 1, f"validation.keep is {self.keep}: give at least 1")
        _require(
            self.max_tracks is None or self.max_tracks >= 1,
            f"validation.max_tracks is {self.max_tracks}: give 1 or null",
        )
        _require(
            self.max_seconds is None or self.max_seconds >= 1,
            f"validation.max_seconds is {self.max_seconds}: give at least 1, or null",
        )


@dataclass
class HardwareConfig:
    """How a run uses the machine. May change when a run goes on: devices and precision change the rounding, everything
    else nothing.

    Attributes:
        accelerator: "auto", "cpu", "gpu", "mps", as Lightning names them.
        devices: Per machine; 0 is all there are (on a CPU: one process).
        n_nodes: Machines.
        strategy: Lightning's; "auto" is DDP for several devices.
        precision: "float32", "float16" or "bfloat16" (mixed); "auto" is float16 on a CUDA GPU and float32 elsewhere.
        n_workers: Processes that make examples, per device; 0 makes them in the training process. None is all
            processors that a GPU can have to itself, and one on a CPU.
        compile: Run the network through torch.compile.
        threads: Of the CPU, for torch; None leaves it to torch.
    """

    accelerator: str = "auto"
    devices: int = 0
    n_nodes: int = 1
    strategy: str = "auto"
    precision: str = "auto"
    n_workers: int | None = None
    compile: bool = False
    threads: int | None = None

    def __post_init__(self) -> None:
        _require(
            self.precision in ("auto", *PRECISIONS),
            f"hardware.precision is {self.precision!r}: give one of auto, {', '.join(PRECISIONS)}",
        )
        _require(self.devices >= 0, f"hardware.devices is {self.devices}: give 0 (all) or more")
        _require(self.n_nodes >= 1, f"hardware.n_nodes is {self.n_nodes}: give at least 1")
        _require(
            self.n_workers is None or self.n_workers >= 0,
            f"hardware.n_workers is {self.n_workers}: it must not be negative",
        )
        _require(
            self.threads is None or self.threads >= 1, f"hardware.threads is {self.threads}: give at least 1, or null"
        )


@dataclass
class Experiment:
    """A training run.

    Attributes:
        base: Another configuration (a name of the package or a path relative to this file) that this one changes.
        description: For people.
        stems: What the network gives.
        mixture_stems: What a song is the sum of, by the names of the files.
        transform: `dttnet.config.Transform`.
        network: `architecture` and its hyper-parameters, see `dttnet.config.network_config`; `n_bins` and `n_stems`
            follow from the transform and the stems. Empty takes stems, transform and network of the model that training
            starts from.
        n_frames: Frames per example.
        batch_size: Examples of all devices together: each gets an equal share.
        accumulate: So many batches make one step of the optimiser.
        sync_batchnorm: Batch normalisation over the shares of all devices; otherwise each over its own.
        steps: Steps of the optimiser.
        gradient_clip: Largest norm of the gradients; None does not clip.
        ema_decay: Of the moving average of the weights, which is what is validated, saved and exported; None is no
            average.
        seed: Of weights and examples.
        log_every, save_every: In steps.
        data: See `dttnet.training.data.DataConfig`.
        loss, optimizer, validation, hardware: See the classes of their names.
    """

    base: str | None = None
    description: str = ""
    stems: list[str] = field(default_factory=list)
    mixture_stems: list[str] = field(default_factory=lambda: list(STEMS))
    transform: dict[str, Any] = field(default_factory=dict)
    network: dict[str, Any] = field(default_factory=dict)
    n_frames: int = 256
    batch_size: int = 8
    accumulate: int = 1
    sync_batchnorm: bool = True
    steps: int = 100_000
    gradient_clip: float | None = None
    ema_decay: float | None = None
    seed: int = 2021
    log_every: int = 50
    save_every: int = 500
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)

    def __post_init__(self) -> None:
        for name in ("n_frames", "batch_size", "accumulate", "steps", "log_every", "save_every"):
            _require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}: give at least 1")
        _require(0 <= self.seed < 1 << 32, f"seed is {self.seed}: give 0 to {(1 << 32) - 1}")
        _require(
            self.ema_decay is None or 0 <= self.ema_decay < 1, f"ema_decay is {self.ema_decay}: give 0 to 1, or null"
        )
        _require(
            self.gradient_clip is None or self.gradient_clip > 0,
            f"gradient_clip is {self.gradient_clip}: it must be positive, or null",
        )

    @property
    def network_config(self) -> NetworkConfig:
        """The network, with the bins of the transform and as many outputs as there are stems."""
        _require(bool(self.stems), "stems is empty: name what the network gives, such as stems=[vocals]")
        unknown = [stem for stem in self.stems if stem not in self.mixture_stems]
        _require(not unknown, f"stems has {', '.join(unknown)}, but mixture_stems are {', '.join(self.mixture_stems)}")
        _require(
            not self.loss.consistent or set(self.stems) == set(self.mixture_stems),
            f"loss.consistent makes the stems add up to the mixture, but {', '.join(self.stems)} are not all of it "
            f"({', '.join(self.mixture_stems)}): set loss.consistent=false",
        )
        known = {"n_bins": self.transform_config.n_bins, "n_stems": len(self.stems)}
        if self.network.get("architecture") == BSRNNConfig.architecture:
            known["sample_rate"] = self.transform_config.sample_rate
        for name, value in known.items():
            _require(
                self.network.get(name, value) == value,
                f"network.{name} is {self.network.get(name)}, but transform and stems make it {value}: leave it out",
            )
        try:
            config = network_config({**self.network, **known})
        except ModelError as error:
            raise UsageError(f"network: {error}") from error
        _require(
            self.n_frames % config.frame_multiple == 0,
            f"n_frames is {self.n_frames}: this network needs a multiple of {config.frame_multiple}",
        )
        _require(
            not getattr(config, "masks_add_up", False) or set(self.stems) == set(self.mixture_stems),
            f"network.masks_add_up makes the stems add up to the mixture, but {', '.join(self.stems)} are not all of "
            f"it ({', '.join(self.mixture_stems)}): set network.masks_add_up=false",
        )
        return config

    @property
    def transform_config(self) -> Transform:
        try:
            return Transform.from_dict(dict(self.transform))
        except (ModelError, TypeError) as error:
            raise UsageError(f"transform: {error}") from error

    @property
    def n_samples(self) -> int:
        """Samples of an example."""
        return self.transform_config.hop * (self.n_frames - 1)

    def to_yaml(self) -> str:
        return OmegaConf.to_yaml(OmegaConf.structured(self))


MAY_CHANGE = ("base", "description", "steps", "log_every", "save_every", "validation", "hardware")
"""What may differ when a run goes on: the rest decides which weights come out."""


def shipped_configs() -> list[str]:
    """Names of the configurations in the package."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def load_experiment(name: str, overrides: Sequence[str] = ()) -> Experiment:
    """Read a configuration.

    Args:
        name: Of a configuration in the package, or the path of a YAML file.
        overrides: `key=value`, with dots for what is inside: `optimizer.rate=1e-3`.

    Raises:
        UsageError: There is no such file, it is no YAML, or a name or value in it is not known; the message says which.
    """
    merged = OmegaConf.structured(Experiment)
    for origin, layer in _layers(name):
        merged = _merge(merged, layer, origin)
    for override in overrides:
        key, equals, _ = override.partition("=")
        _require(bool(equals and key), f"{override!r}: give key=value, such as optimizer.rate=1e-3")
        _require(key != "base", f"{override!r}: name that configuration in the place of {name}")
        try:
            layer = OmegaConf.from_dotlist([override])
        except (OmegaConfBaseException, YAMLError) as error:
            raise UsageError(f"{override!r}: {_first_line(error)}") from error
        merged = _merge(merged, layer, repr(override))
    return _build(merged, name)


def read_experiment(text: str, origin: str) -> Experiment:
    """An experiment from the YAML that `Experiment.to_yaml` wrote."""
    return _build(_merge(OmegaConf.structured(Experiment), _parse(text, origin), origin), origin)


def differences(old: Experiment, new: Experiment) -> list[str]:
    """What differs between two experiments and decides which weights come out, as "key: old -> new"."""
    before, after = dataclasses.asdict(old), dataclasses.asdict(new)
    # The length of a cosine is the number of steps.
    free = set(MAY_CHANGE) - ({"steps"} if new.optimizer.schedule == "cosine" else set())
    return [
        f"{name}: {before[name]} -> {after[name]}"
        for name in before
        if name not in free and before[name] != after[name]
    ]


def _layers(name: str) -> list[tuple[str, DictConfig]]:
    """The file and those it is based on, the deepest first."""
    layers: list[tuple[str, DictConfig]] = []
    seen: set[Path] = set()
    path = _find(name, None)
    while True:
        _require(path not in seen, f"{path}: is based on itself")
        seen.add(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: cannot be read ({error})") from error
        layer = _parse(text, str(path))
        layers.insert(0, (str(path), layer))
        base = layer.get("base")
        if base is None:
            return layers
        path = _find(str(base), path.parent)


def _find(name: str, folder: Path | None) -> Path:
    if name in shipped_configs():
        return _folder() / f"{name}.yaml"
    path = Path(name) if folder is None else folder / name
    _require(
        path.is_file(),
        f"configuration {name!r}: neither a YAML file nor one of the package ({', '.join(shipped_configs())})",
    )
    return path


def _folder() -> Path:
    return Path(str(resources.files("dttnet").joinpath(_CONFIGS)))


def _parse(text: str, origin: str) -> DictConfig:
    try:
        layer = OmegaConf.create(text)
    except (OmegaConfBaseException, YAMLError) as error:
        raise UsageError(f"{origin}: not YAML that can be read ({_first_line(error)})") from error
    if not isinstance(layer, DictConfig):
        raise UsageError(f"{origin}: must be names and values, is {type(layer).__name__}")
    return layer


def _merge(merged: DictConfig, layer: DictConfig, origin: str) -> DictConfig:
    _check_keys(layer, Experiment, "", origin)
    architecture = OmegaConf.select(layer, "network.architecture")
    if architecture is not None and architecture != merged.network.get("architecture"):
        # Hyper-parameters of one mean nothing to another.
        merged = merged.copy()
        merged.network = {}
    try:
        result = OmegaConf.merge(merged, layer)
    except OmegaConfBaseException as error:
        raise UsageError(f"{origin}: {error.full_key or 'value'}: {_first_line(error)}") from error
    assert isinstance(result, DictConfig)
    return result


def _check_keys(layer: DictConfig, known: type, prefix: str, origin: str) -> None:
    """OmegaConf refuses unknown names too, but does not say which there are."""
    fields = {f.name: f for f in dataclasses.fields(known)}
    for name, value in layer.items_ex(resolve=False):
        if name not in fields:
            close = difflib.get_close_matches(str(name), fields, n=1)
            hint = f"did you mean {prefix}{close[0]}?" if close else f"known are {', '.join(sorted(fields))}"
            raise UsageError(f"{origin}: {prefix}{name!s} is not a known key; {hint}")
        factory = fields[str(name)].default_factory
        if isinstance(factory, type) and dataclasses.is_dataclass(factory) and isinstance(value, DictConfig):
            _check_keys(value, factory, f"{prefix}{name}.", origin)


def _build(merged: DictConfig, origin: str) -> Experiment:
    try:
        experiment = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        # The checks of the dataclasses arrive wrapped.
        cause = error.__cause__
        if isinstance(cause, UsageError):
            raise cause from error
        raise UsageError(f"{origin}: {error.full_key or 'value'}: {_first_line(error)}") from error
    assert isinstance(experiment, Experiment)
    return experiment


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)
