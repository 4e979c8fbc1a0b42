"""Models side by side: size, cost, speed on this machine, and what is known of their quality."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from dttnet import store
from dttnet.bench import real_time_factors
from dttnet.layout import stems_of
from dttnet.runtime.onnx import read_card
from dttnet.separator import Separator


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
        stems=tuple(stems_of(cards)),
        n_parameters=sum(card.n_parameters for card in cards) if known else None,
        gmac_per_second=sum(card.gmac_per_second for card in cards) if known else None,
        real_time_factor=real_time_factor(name, seconds, threads=threads) if seconds is not None else None,
        quality="; ".join(dict.fromkeys(card.quality for card in cards if card.quality)),
    )


def real_time_factor(name: str, seconds: float, *, threads: int | None = None) -> float:
    """See `bench.real_time_factors`; on the CPU.

    Args:
        name: See `compare`.
        seconds: Of noise.
        threads: Of the CPU; None is one per physical core.
    """
    separator = Separator(name, device="cpu", threads=threads)
    return next(real_time_factors(separator, seconds=seconds, runs=1))
