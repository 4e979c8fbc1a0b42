"""Sounds that separators mistake, laid over training examples: the fine-tunes of the complex-pattern experiment of
arXiv 2309.08684.

Shapes: C channels (2), N samples. Audio is float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dttnet.errors import UsageError
from dttnet.patterns import clip_files, read_clip, read_manifest

Float = NDArray[np.float32]


@dataclass
class ClipConfig:
    """What is laid over examples.

    Attributes:
        sets: Folder that `dttnet patterns build` made, of whose clips those for training are taken.
        share: Of the examples that get a clip; the paper's is all.
        without: Classes that are left out.
    """

    sets: str | None = None
    share: float = 0.0
    without: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise UsageError(f"data.clips.share is {self.share}: give 0 to 1")


@dataclass(frozen=True)
class _Kind:
    stem: str
    reverses: bool
    files: tuple[Path, ...]


class Clips:
    """Clips to draw from: each class is as likely as another, and so is each clip of a class.

    Args:
        config: Names the folder.
        stems: That examples are the sum of.
        sample_rate: Of the examples, in Hz.

    Raises:
        UsageError: There is no such folder, or classes and stems do not fit.
    """

    def __init__(self, config: ClipConfig, *, stems: Sequence[str], sample_rate: int) -> None:
        if config.sets is None:
            raise UsageError(
                f"data.clips.share is {config.share:g}, but data.clips.sets is missing: give it the folder that "
                "`dttnet patterns build` made"
            )
        if not config.share:
            raise UsageError("data.clips.sets is given, but data.clips.share is 0: 1 lays a clip over every example")
        sets, without = Path(config.sets), config.without
        self._share = config.share
        classes = read_manifest(sets)["classes"]
        unknown = [name for name in without if name not in classes]
        if unknown:
            raise UsageError(
                f"data.clips.without names {', '.join(unknown)}, which is no class of {sets}; there are "
                f"{', '.join(classes)}"
            )
        self._sample_rate = sample_rate
        self._kinds = []
        for name, facts in classes.items():
            if name in without:
                continue
            if facts["stem"] not in stems:
                raise UsageError(f"{sets}: {name} belongs to {facts['stem']}, which is no stem of the examples")
            files = clip_files(sets, name, "train")
            self._kinds.append(_Kind(stem=facts["stem"], reverses=facts["reverses"], files=files))
        if not self._kinds:
            raise UsageError(f"data.clips.without leaves none of the classes of {sets}")

    def draw(self, rng: np.random.Generator, n_samples: int) -> tuple[str, Float] | None:
        """A stem and what is added to it, (C, N): a clip at a random place, or as much of it as there is room for. None
        for examples that get none.

        Raises:
            AudioError: A file is gone or damaged; the message names it.
        """
        if rng.random() >= self._share:
            return None
        kind = self._kinds[int(rng.integers(len(self._kinds)))]
        path = kind.files[int(rng.integers(len(kind.files)))]
        is_reversed = kind.reverses and bool(rng.random() < 0.5)
        clip = read_clip(path, self._sample_rate, is_reversed=is_reversed)
        audio = np.zeros((2, n_samples), np.float32)
        n = min(n_samples, clip.shape[1])
        of_clip = int(rng.integers(clip.shape[1] - n + 1))
        of_audio = int(rng.integers(n_samples - n + 1))
        audio[:, of_audio : of_audio + n] = clip[:, of_clip : of_clip + n]
        return kind.stem, audio
