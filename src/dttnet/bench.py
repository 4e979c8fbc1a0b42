"""How fast the engines of this installation separate on this machine."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from dttnet import store
from dttnet.errors import DeviceError, DttnetError, UsageError
from dttnet.layout import stems_of
from dttnet.runtime import choice
from dttnet.runtime.onnx import read_card
from dttnet.separator import Separator

_WARM_UP_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Side:
    """What is measured: an engine with one of its precisions on one of its devices, and a model.

    Attributes:
        stems: Wanted; None is all of the model.
    """

    model: str
    engine: str
    device: str
    precision: str
    stems: tuple[str, ...] | None
    threads: int | None = None
    low_memory: bool = False


@dataclass(frozen=True, kw_only=True)
class Result:
    """One measurement.

    Attributes:
        start_s: Seconds from a new process to networks that are ready to run.
        real_time_factor: Seconds of work per second of audio; None if it did not run.
        peak_mb: Of the process's memory, of which a GPU's is no part.
        problem: Why it did not run, in words; empty if it did.
    """

    side: Side
    start_s: float | None = None
    real_time_factor: float | None = None
    peak_mb: float | None = None
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def sides(model: str, *, engine: str = choice.AUTO, threads: int | None = None, low_memory: bool = False) -> list[Side]:
    """Everything that is installed and may run a model: all its stems, and the first one alone.

    Args:
        model: A name of a model in the package, or a folder or ONNX file.
        engine: One of `choice.ENGINES`, or "auto" for all that are installed.

    Raises:
        ModelError: There is no such model.
        UsageError: There is no such engine, or it is not installed.
    """
    stems = stems_of(read_card(path) for path in store.find(model).files)
    wanted: list[tuple[str, ...] | None] = [None, (stems[0],)] if len(stems) > 1 else [None]
    engines = choice.ENGINES if engine == choice.AUTO else (engine,)
    if engine not in (choice.AUTO, *choice.ENGINES) or (engine != choice.AUTO and not choice.is_installed(engine)):
        raise UsageError(
            f"engine {engine!r} is not there: give {', '.join(filter(choice.is_installed, choice.ENGINES))}"
        )
    return [
        Side(
            model=model,
            engine=name,
            device=device,
            precision=precision,
            stems=part,
            threads=threads,
            low_memory=low_memory,
        )
        for name in engines
        if choice.is_installed(name)
        for device, precision in _ways(name)
        for part in wanted
    ]


def _ways(engine: str) -> list[tuple[str, str]]:
    """The devices and precisions of an engine; of a broken one that with which measuring will tell what is wrong."""
    try:
        devices = choice.devices(engine)
    except DeviceError:
        return [("cpu", "float32")]
    return [
        (device, precision)
        for device in devices
        for precision in choice.PRECISIONS
        if choice.computes_in(engine, device, precision)
    ]


def measure(side: Side, *, seconds: float = 20.0, runs: int = 3) -> Result:
    """Separate noise in a process of its own, whose memory is then nobody else's.

    Args:
        seconds: Of stereo noise, after a second that is not counted.
        runs: Of which the median counts.
    """
    task = json.dumps({"side": asdict(side), "seconds": seconds, "runs": runs, "started": time.time()})
    # -c and not -m, so that the class that is printed is the one that is read.
    command = [sys.executable, "-c", "import sys; from dttnet.bench import _work; _work(sys.argv[1])", task]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = process.stdout.splitlines()
    if process.returncode or not lines:
        reason = (process.stderr.strip().splitlines() or [f"ended with {process.returncode}"])[-1]
        return Result(side=side, problem=reason)
    return Result(side=side, **json.loads(lines[-1]))


def _work(task: str) -> None:
    """In the process of its own: print the measurement as JSON."""
    given = json.loads(task)
    options = given["side"]
    try:
        separator = Separator(options.pop("model"), **options)
    except DttnetError as error:
        print(json.dumps({"problem": str(error)}))  # noqa: T201  # to the process that asked
        return
    start_s = time.time() - given["started"]
    factors = list(real_time_factors(separator, seconds=given["seconds"], runs=given["runs"]))
    found = {
        "start_s": start_s,
        "real_time_factor": statistics.median(factors),
        "peak_mb": peak_bytes() / 1e6,
    }
    print(json.dumps(found))  # noqa: T201  # as above


def real_time_factors(separator: Separator, *, seconds: float, runs: int) -> Iterator[float]:
    """Seconds of work per second of audio, with everything that `dttnet separate` does to samples.

    Args:
        seconds: Of stereo noise, after a second that is not counted.
    """
    rate = separator.transform.sample_rate
    noise = 0.1 * np.random.Generator(np.random.PCG64(0)).standard_normal((2, rate), np.float32)

    def separate(seconds: float) -> None:
        n_samples = round(seconds * rate)
        blocks = (noise[:, : n_samples - start] for start in range(0, n_samples, rate))
        # As it is with files: neither the song nor its stems are in memory as a whole.
        for _ in separator.stream(blocks, rate):
            pass

    separate(_WARM_UP_S)
    for _ in range(runs):
        started = time.perf_counter()
        separate(seconds)
        yield (time.perf_counter() - started) / seconds


def peak_bytes() -> int:
    """Largest resident set of this process so far."""
    memory = psutil.Process().memory_info()
    if hasattr(memory, "peak_wset"):  # Windows
        return int(memory.peak_wset)
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent held when it started us
        return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
