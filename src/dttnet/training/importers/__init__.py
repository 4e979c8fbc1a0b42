"""How networks of other programs become ours: one module per architecture.

The papers' letters and the names of the reference implementations live here and nowhere else. A module knows one
tensor that every such network has, our names for theirs, and how to read the hyper-parameters off the shapes or out of
the configuration file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from dttnet.config import NetworkConfig, Transform
from dttnet.errors import ModelError

Names = Sequence[tuple[str, str]]
"""Patterns and what they become, in the order they are applied in."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a checkpoint, and the configuration file beside it, say of their network.

    Attributes:
        state: Its tensors by our names.
        names: Our name to theirs, for messages.
        n_frames: Frames per chunk in training.
    """

    config: NetworkConfig
    transform: Transform
    n_frames: int
    state: Mapping[str, Tensor]
    names: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Importer:
    """One architecture of another program.

    Attributes:
        title: For messages.
        anchor: What the name of one tensor ends in, whatever a wrapper put before it.
        describe: From the tensors by their names, the configuration file (empty if there is none) and the path of the
            checkpoint, which is for messages.
        plain: Hyper-parameters of the other program that the shapes do not show, and the one value that is known here.
    """

    title: str
    anchor: str
    describe: Callable[[Mapping[str, Tensor], Mapping[str, Any], Path], Description]
    plain: Mapping[str, Any] = field(default_factory=dict)


def instruments(settings: Mapping[str, Any], path: Path) -> list[Any]:
    """What the YAML beside a checkpoint says that the network separates, in the order of its outputs; may be empty.

    Raises:
        ModelError: It says it in another form than it should.
    """
    training = settings.get("training", {})
    if not isinstance(training, Mapping):
        raise ModelError(f"{path}: the entry 'training' of its YAML is {training!r}: names with values expected")
    if training.get("target_instrument"):
        return [training["target_instrument"]]
    names = training.get("instruments", [])
    if not isinstance(names, list):
        raise ModelError(f"{path}: the entry 'instruments' of its YAML is {names!r}: a list expected")
    return names


class Shapes:
    """The shapes of a checkpoint's tensors, with errors that name what is not as expected."""

    def __init__(self, state: Mapping[str, Tensor], title: str, path: Path) -> None:
        self._state = state
        self._title = title
        self._path = path

    def of(self, name: str, n_dimensions: int) -> tuple[int, ...]:
        if name not in self._state:
            raise ModelError(f"{self._path}: not a {self._title}: {name} is missing")
        shape = tuple(self._state[name].shape)
        if len(shape) != n_dimensions:
            raise ModelError(f"{self._path}: {name} has the shape {shape}: {n_dimensions} axes expected")
        return shape

    def count(self, pattern: str) -> int:
        """Different numbers in the place of the pattern's group."""
        return len({int(match[1]) for name in self._state if (match := re.match(pattern, name))})


def rename(name: str, names: Names) -> str:
    for pattern, replacement in names:
        name = re.sub(pattern, replacement, name)
    return name
