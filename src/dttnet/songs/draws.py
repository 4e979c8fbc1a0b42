"""How random choices are drawn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def choose(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    """One of the names, as often as its weight says."""
    names = list(weights)
    parts = np.array([weights[name] for name in names], float)
    return names[int(rng.choice(len(names), p=parts / parts.sum()))]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between two, with every ratio as likely: of frequencies, times and levels."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
