"""Models side by side: size, cost, speed on this machine, and what is known of their quality."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dttnet import store
from dttnet.cpus import count_cpus
from dttnet.runtime.onnx import read_card
from dttnet.separator import Separator

# So long that no engine sees its first call, and so short that it costs little.
_WARM_UP_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model.

    Attributes:
        stems: What it gives.
        n_parameters: Of all its networks; None if a file does not say it.
        gmac_per_second: Thousand million multiply-accumulates per second of audio, all networks together, without the
            overlap of chunks; None if a file does not say it.
        real_time_factor: Seconds of work per second of audio on this machine; None if it was not measured.
        quality: In words; empty if unknown.
    """

    name: str
    stems: tuple[str, ...]
    n_parameters: int | None
    gmac_per_second: float | None
    real_time_factor: float | None
    quality: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def compare(name: str, *, seconds: float | None, threads: int | None = None) -> Row:
    """The row of a model.

    Args:
        name: A name of a model in the package, or a folder or ONNX file.
        seconds: Of noise to measure the speed with; None leaves it out.
        threads: See `real_time_factor`.

    Raises:
        ModelError: There is no such model.
    """
    model = store.find(name)
    cards = [read_card(file) for file in model.files]
    known = all(card.n_parameters for card in cards)
    return Row(
        name=model.name,
        stems=tuple(stem for card in cards for stem in card.stems),
        n_parameters=sum(card.n_parameters for card in cards) if known else None,
        gmac_per_second=sum(card.gmac_per_second for card in cards) if known else None,
        real_time_factor=real_time_factor(name, seconds, threads=threads) if seconds is not None else None,
        quality="; ".join(dict.fromkeys(card.quality for card in cards if card.quality)),
    )


def real_time_factor(name: str, seconds: float, *, threads: int | None = None) -> float:
    """Seconds of work per second of audio, on the CPU, with everything that `dttnet separate` does to samples.

    Args:
        name: See `compare`.
        seconds: Of stereo noise to separate, after a second that is not counted.
        threads: Of the CPU; None is all that this process may use.
    """
    separator = Separator(name, device="cpu", threads=threads or count_cpus())
    rate = separator.transform.sample_rate
    noise = 0.1 * np.random.Generator(np.random.PCG64(0)).standard_normal((2, round(seconds * rate)), np.float32)
    separator.separate(noise[:, : round(_WARM_UP_S * rate)], rate)
    started = time.perf_counter()
    separator.separate(noise, rate)
    return (time.perf_counter() - started) / seconds
