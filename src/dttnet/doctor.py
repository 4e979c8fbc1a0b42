"""What this installation is made of, what it would use, and whether it works here."""

from __future__ import annotations

import platform
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import numpy as np

from dttnet import store
from dttnet.cpus import count_cpus
from dttnet.errors import DttnetError, ModelError
from dttnet.runtime import choice
from dttnet.runtime.onnx import OnnxNetwork
from dttnet.separator import Separator

PACKAGES = ("dttnet", "numpy", "onnxruntime", "openvino", "torch", "soundfile", "soxr", "av")
TEST_S = 2.0
"""Of noise, separated in the self-test of an engine."""

# float32 in another order through the default model comes to -110 dB; a broken kernel to more than -40.
_WORST_DB = -60.0


@dataclass(frozen=True, kw_only=True)
class EngineCheck:
    """One engine.

    Attributes:
        devices: What it can run on; empty if it is not installed.
        seconds: That it took for `TEST_S` of noise on the CPU, its start included; None if it did not run.
        difference_db: Of its output from ONNX Runtime's, energy against energy; None if it did not run.
        problem: In words; empty if there is none. Not to be installed is none.
    """

    name: str
    devices: tuple[str, ...] = ()
    seconds: float | None = None
    difference_db: float | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Everything that `dttnet doctor` says.

    Attributes:
        versions: Of the packages that are installed.
        takes: Engine and device of "auto".
        passed_over: What would be faster and is not taken, and why.
        models: Problems of each model of the package; none if it is whole and computes what it should.
    """

    system: str
    n_cpus: int
    versions: dict[str, str]
    takes: str
    passed_over: tuple[str, ...]
    engines: tuple[EngineCheck, ...]
    models: dict[str, tuple[str, ...]]

    @property
    def problems(self) -> list[str]:
        engines = [f"{engine.name}: {engine.problem}" for engine in self.engines if engine.problem]
        return engines + [f"model {name}: {problem}" for name, found in self.models.items() for problem in found]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "problems": self.problems}


def diagnose() -> Diagnosis:
    """Look at everything; a few seconds for each engine."""
    taken, passed_over = _auto()
    return Diagnosis(
        system=f"{platform.platform()}, {platform.machine()}, Python {platform.python_version()}",
        n_cpus=count_cpus(),
        versions=_versions(),
        takes=taken,
        passed_over=passed_over,
        engines=tuple(check_engine(engine) for engine in choice.ENGINES),
        models={name: _problems_of(name) for name in store.shipped()},
    )


def check_model(model: store.Model) -> list[str]:
    """What is wrong with a model, one line each: its hashes, that it loads, that it computes what its source computed.

    Raises:
        ModelError: A file cannot be read.
    """
    problems = store.check_hashes(model)
    for file in model.files:
        network = OnnxNetwork(file)
        norm = float(np.linalg.norm(network(store.probe_input(network.card))))
        # Weights stored as float16 move the output by up to 1 %; a damaged file by more.
        if not abs(norm - network.card.probe_norm) <= 1e-2 * network.card.probe_norm:
            problems.append(
                f"{file.name}: its output differs from that of its source: norm {norm:.6g} in place of "
                f"{network.card.probe_norm:.6g}"
            )
    return problems


def check_engine(engine: str, model: str = store.DEFAULT_MODEL) -> EngineCheck:
    """Separate noise with an engine on the CPU, beside ONNX Runtime."""
    if not choice.is_installed(engine):
        return EngineCheck(name=engine)
    try:
        devices = tuple(choice.devices(engine))
        started = time.perf_counter()
        found = _separate_noise(engine, model)
        seconds = time.perf_counter() - started
        expected = _separate_noise("onnxruntime", model)
    except (DttnetError, ImportError, OSError) as error:  # a package that is broken raises the last two when loaded
        return EngineCheck(name=engine, problem=f"does not run: {error}")
    difference = sum(float(np.sum((found[stem] - expected[stem]) ** 2)) for stem in expected)
    energy = sum(float(np.sum(samples**2)) for samples in expected.values())
    difference_db = 10 * float(np.log10(max(difference / energy, 1e-20)))
    return EngineCheck(
        name=engine,
        devices=devices,
        seconds=seconds,
        difference_db=difference_db,
        problem=f"its output is {difference_db:.0f} dB from ONNX Runtime's" if difference_db > _WORST_DB else "",
    )


def _problems_of(name: str) -> tuple[str, ...]:
    try:
        return tuple(check_model(store.find(name)))
    except ModelError as error:
        return (str(error),)


def _separate_noise(engine: str, model: str) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    separator = Separator(model, engine=engine, device="cpu", adds_up=False)
    rate = separator.transform.sample_rate
    noise = 0.1 * np.random.Generator(np.random.PCG64(0)).standard_normal((2, round(TEST_S * rate)), np.float32)
    return separator.separate(noise, rate)


def _auto() -> tuple[str, tuple[str, ...]]:
    """What "auto" takes for the default model, and what it passes over on the way."""
    try:
        separator = Separator()
    except DttnetError as error:
        return f"nothing: {error}", ()
    passed_over = []
    for engine, device in choice.candidates():
        if (engine, device) == (separator.engine, separator.device.partition(":")[0]):
            break
        reason = choice.why_not(engine, device)
        if reason:
            passed_over.append(f"{engine} on {device}: {reason}")
    return f"{separator.engine} on {separator.device}", (*passed_over, *separator.warnings)


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
