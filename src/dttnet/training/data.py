"""Training examples, made while training: excerpts of stems, changed at random and summed to a mixture.

Shapes: S targets, C channels (2), N samples. Audio is float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dttnet.dataset import Dataset, Track
from dttnet.errors import UsageError
from dttnet.training.augment import (
    AugmentConfig,
    Change,
    change_pitch_and_tempo,
    change_sound,
    draw_bandwidth,
    draw_change,
    draw_noise,
    draw_pitch_and_tempo,
    limit_bandwidth,
    n_needed,
)
from dttnet.training.clips import ClipConfig, Clips

Float = NDArray[np.float32]

# More one-shots than this in one excerpt would only cost time: what is left stays silent.
_MAX_CHAINED = 32


@dataclass
class DataConfig:
    """How examples are put together. The defaults are the paper's, but for `AugmentConfig.rest_together`.

    Attributes:
        same_track_ratio: Share of the examples whose stems are all from one place of one track; in the others each stem
            comes from an independently drawn track ("random mixing"), and one that a track lacks is not drawn from it.
            Tracks with a mixture file that lack stems are not drawn whole, for the sum would not be their mixture.
        tries: Places that are drawn at most, until a stem sounds there (in examples of one track: until a target
            does); 1 takes what comes. More is the choice of energetic excerpts.
        silence_db: Level of an excerpt, in dB of full scale, below which another place is tried.
        augment: Random changes.
        clips: Sounds that separators mistake, laid over what comes of all this.
    """

    same_track_ratio: float = 0.0
    tries: int = 1
    silence_db: float = -50.0
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    clips: ClipConfig = field(default_factory=ClipConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.same_track_ratio <= 1:
            raise UsageError(f"data.same_track_ratio is {self.same_track_ratio}: give 0 to 1")
        if self.tries < 1:
            raise UsageError(f"data.tries is {self.tries}: give at least 1")


class Examples:
    """Training examples by number. Example i depends on the seed, i and the data alone: it is the same in any process
    and any order.

    Each second of a root is as likely as another. A track that is shorter than an example lies at a random place of it,
    with silence around; loose files that are shorter follow each other, each drawn anew. Only what is needed is
    decoded. A missing stem is silence.

    Args:
        datasets: With a weight each: the share of draws that it gets, among those that have what is drawn. All their
            tracks are used: leave out those that validate and test.
        targets: Stems of the examples, in this order. The mixture has all stems of the datasets.
        n_samples: N.
        sample_rate: Of the examples, in Hz; files of other rates are resampled.
        n_examples: What `len` says.

    Raises:
        UsageError: A target is in none of the datasets, or there is nothing but the targets although the datasets have
            more stems; a weight or size is not positive; `keep_pitch` names what is no stem; clips do not fit.
    """

    def __init__(
        self,
        datasets: Sequence[tuple[Dataset, float]],
        *,
        targets: Sequence[str],
        n_samples: int,
        sample_rate: int,
        seed: int,
        config: DataConfig,
        n_examples: int,
    ) -> None:
        for name, value in (("n_samples", n_samples), ("n_examples", n_examples), ("sample_rate", sample_rate)):
            if value < 1:
                raise UsageError(f"{name} is {value}: give at least 1")
        for dataset, weight in datasets:
            if not weight > 0:
                raise UsageError(f"{dataset.root}: its weight is {weight}; give one above 0")
        self._targets = tuple(targets)
        self._stems = tuple(dict.fromkeys(stem for dataset, _ in datasets for stem in dataset.stems))
        self._n_samples = n_samples
        self._sample_rate = sample_rate
        self._seed = seed
        self._config = config
        self._n_examples = n_examples
        self._sources = {stem: _Sources(_with_stem(datasets, stem), sample_rate) for stem in self._stems}
        self._tracks = _Sources([(_whole_tracks(dataset), weight) for dataset, weight in datasets], sample_rate)
        roots = ", ".join(str(dataset.root) for dataset, _ in datasets) or "no data"
        for stem in self._targets:
            if stem not in self._sources or not self._sources[stem].tracks:
                raise UsageError(f"no {stem} to train with in {roots}")
        if config.same_track_ratio and not self._tracks.tracks:
            raise UsageError(
                f"data.same_track_ratio is {config.same_track_ratio}, but there are no tracks with all stems: "
                "set it to 0"
            )
        others = [stem for stem in self._stems if stem not in self._targets]
        if others and not any(self._sources[stem].tracks for stem in others):
            raise UsageError(
                f"{roots}: there is only {', '.join(self._targets)}, so there is nothing to separate it from; add "
                f"files of other stems ({', '.join(others)}). Mixture files are not trained with: call an "
                "accompaniment by a name of its own, such as accompaniment.wav, and list it in mixture_stems"
            )
        unknown = [stem for stem in config.augment.keep_pitch if stem not in self._stems]
        if unknown:
            raise UsageError(
                f"augment.keep_pitch names {', '.join(unknown)}, which is no stem; there are {', '.join(self._stems)}"
            )
        self._clips: Clips | None = None
        if config.clips != ClipConfig():
            self._clips = Clips(config.clips, stems=self._stems, sample_rate=sample_rate)

    def __len__(self) -> int:
        return self._n_examples

    def __getitem__(self, index: int) -> dict[str, Float]:
        """{"mixture": (C, N), "stems": (S, C, N)}.

        Raises:
            AudioError: A file is gone or damaged; the message names it.
        """
        if not 0 <= index < self._n_examples:
            raise IndexError(f"example {index} of {self._n_examples}")
        rng = np.random.default_rng([self._seed, index])
        is_one_track = rng.random() < self._config.same_track_ratio
        changes = self._draw_changes(rng, is_one_track=is_one_track)
        sounding = [stem for stem in self._stems if changes[stem].gain]
        # Read first: then all that is random has happened.
        excerpts = self._read_one_track(rng, changes) if is_one_track else {}
        if not is_one_track:
            excerpts = {stem: self._read_any(rng, stem, changes[stem]) for stem in sounding}
        stems = np.zeros((len(self._targets), 2, self._n_samples), np.float32)
        # Stems that nobody asks for alone and that change alike are summed first, and changed once.
        rest: dict[tuple[float, float], Float] = {}
        for stem in sounding:
            change = changes[stem]
            excerpt = change_sound(excerpts[stem], change, sample_rate=self._sample_rate)
            if stem in self._targets:
                stems[self._targets.index(stem)] = self._change_pitch_and_tempo(excerpt, change.semitones, change.tempo)
                continue
            key = (change.semitones, change.tempo)
            rest[key] = rest[key] + excerpt if key in rest else excerpt
        mixture = stems.sum(axis=0)
        for (semitones, tempo), excerpt in rest.items():
            mixture += self._change_pitch_and_tempo(excerpt, semitones, tempo)
        self._lay_clip(index, mixture, stems)
        self._lay_noise(index, mixture, stems)
        # Random numbers of its own, as for the clips.
        bandwidth = draw_bandwidth(np.random.default_rng([self._seed, index, 2]), config=self._config.augment)
        if bandwidth:
            mixture = limit_bandwidth(mixture, bandwidth, sample_rate=self._sample_rate)
            stems = limit_bandwidth(stems, bandwidth, sample_rate=self._sample_rate)
        return {"mixture": mixture, "stems": stems}

    def _lay_clip(self, index: int, mixture: Float, stems: Float) -> None:
        """Add a clip to the mixture and the target that it belongs to, if it is one."""
        # Random numbers of its own: with and without clips the music is the same.
        drawn = self._clips and self._clips.draw(np.random.default_rng([self._seed, index, 1]), self._n_samples)
        if not drawn:
            return
        stem, clip = drawn
        self._add(stem, clip, mixture, stems)

    def _lay_noise(self, index: int, mixture: Float, stems: Float) -> None:
        """Add a noise to the mixture and to "other", if that is a target."""
        rng = np.random.default_rng([self._seed, index, 3])
        noise = draw_noise(rng, mixture, config=self._config.augment, sample_rate=self._sample_rate)
        if noise is not None:
            self._add("other", noise, mixture, stems)

    def _add(self, stem: str, audio: Float, mixture: Float, stems: Float) -> None:
        mixture += audio
        if stem in self._targets:
            stems[self._targets.index(stem)] += audio

    def _draw_changes(self, rng: np.random.Generator, *, is_one_track: bool) -> dict[str, Change]:
        config = self._config.augment
        shared = draw_pitch_and_tempo(rng, config=config)
        changes = {}
        for stem in self._stems:
            is_shared = is_one_track or (config.rest_together and stem not in self._targets)
            own = draw_pitch_and_tempo(rng, config=config)
            changes[stem] = draw_change(rng, stem, shared if is_shared else own, config=config)
        return changes

    def _read_any(self, rng: np.random.Generator, stem: str, change: Change) -> Float:
        """An excerpt of this stem from anywhere."""
        sources = self._sources[stem]
        before, n_samples = self._n_needed(change)
        excerpt = np.zeros((2, n_samples), np.float32)
        if not sources.tracks:
            return excerpt
        for tries_left in reversed(range(self._config.tries)):
            excerpt = self._read_place(rng, sources, stem, before, n_samples)
            if not tries_left or self._is_sounding(excerpt):
                break
        return excerpt

    def _read_place(self, rng: np.random.Generator, sources: _Sources, stem: str, before: int, n_samples: int) -> Float:
        rate = self._sample_rate
        number = sources.draw(rng)
        n_track = sources.n_samples[number]
        if not sources.is_loose[number] or n_track >= n_samples:
            start = _place_start(rng.random(), n_track, n_samples - 2 * before)
            return sources.tracks[number].read(stem, start - before, n_samples, sample_rate=rate)
        excerpt = np.zeros((2, n_samples), np.float32)
        n_done = 0
        for _ in range(_MAX_CHAINED):
            n_piece = min(n_track, n_samples - n_done)
            piece = sources.tracks[number].read(stem, 0, n_piece, sample_rate=rate)
            excerpt[:, n_done : n_done + n_piece] = piece
            n_done += n_piece
            if n_done == n_samples:
                break
            number = sources.draw(rng)
            n_track = sources.n_samples[number]
        return excerpt

    def _read_one_track(self, rng: np.random.Generator, changes: dict[str, Change]) -> dict[str, Float]:
        """All stems of one place of one track."""
        excerpts: dict[str, Float] = {}
        for _ in range(self._config.tries):
            number = self._tracks.draw(rng)
            place = rng.random()
            excerpts = {
                stem: self._read_at(number, stem, place, changes[stem]) for stem in self._targets if changes[stem].gain
            }
            if any(self._is_sounding(excerpt) for excerpt in excerpts.values()):
                break
        for stem in self._stems:
            if changes[stem].gain and stem not in excerpts:
                excerpts[stem] = self._read_at(number, stem, place, changes[stem])
        return excerpts

    def _read_at(self, number: int, stem: str, place: float, change: Change) -> Float:
        """An excerpt at a place from 0 to 1 of a track."""
        before, n_samples = self._n_needed(change)
        # All stems of the track have the same tempo, so this is the same sample for all.
        n_excerpt = int(np.ceil(self._n_samples * change.tempo))
        start = _place_start(place, self._tracks.n_samples[number], n_excerpt)
        return self._tracks.tracks[number].read(stem, start - before, n_samples, sample_rate=self._sample_rate)

    def _n_needed(self, change: Change) -> tuple[int, int]:
        """Samples to read before the excerpt and in all; the same for all stems of one track, whatever their pitch."""
        if change.tempo == 1 and change.semitones == 0:
            return 0, self._n_samples
        return n_needed(self._n_samples, change.tempo, sample_rate=self._sample_rate)

    def _is_sounding(self, excerpt: Float) -> bool:
        energy = float(np.vdot(excerpt, excerpt))
        return energy > excerpt.size * 10 ** (self._config.silence_db / 10)

    def _change_pitch_and_tempo(self, excerpt: Float, semitones: float, tempo: float) -> Float:
        if tempo == 1 and semitones == 0:
            return excerpt
        return change_pitch_and_tempo(
            excerpt,
            semitones=semitones,
            tempo=tempo,
            method=self._config.augment.method,
            n_samples=self._n_samples,
            sample_rate=self._sample_rate,
        )


class _Sources:
    """Tracks to draw from, each second of a root as likely as another."""

    def __init__(self, roots: Sequence[tuple[Sequence[_Source], float]], sample_rate: int) -> None:
        self.tracks: list[Track] = []
        self.is_loose: list[bool] = []
        self.n_samples: list[int] = []
        """Of each track, at the rate of the examples."""
        shares: list[float] = []
        for sources, weight in roots:
            total_s = sum(source.track.duration_s for source in sources)
            for source in sources:
                duration_s = source.track.duration_s
                if duration_s:
                    self.tracks.append(source.track)
                    self.is_loose.append(source.is_loose)
                    self.n_samples.append(int(duration_s * sample_rate))
                    shares.append(weight * duration_s / total_s)
        self._bounds = np.cumsum(shares)

    def draw(self, rng: np.random.Generator) -> int:
        place = rng.random() * self._bounds[-1]
        return min(int(np.searchsorted(self._bounds, place, side="right")), len(self.tracks) - 1)


@dataclass(frozen=True)
class _Source:
    """A track, or a loose file as a track of one stem."""

    track: Track
    is_loose: bool


def _whole_tracks(dataset: Dataset) -> list[_Source]:
    incomplete = {id(track) for track in dataset.incomplete}
    return [_Source(track, is_loose=False) for track in dataset.tracks if id(track) not in incomplete]


def _with_stem(datasets: Sequence[tuple[Dataset, float]], stem: str) -> list[tuple[list[_Source], float]]:
    """What has this stem."""
    return [
        (
            [_Source(track, is_loose=False) for track in dataset.tracks if stem in track.stems]
            + [
                _Source(Track(name=clip.path.stem, split="", stems={stem: clip}, mixture=None), is_loose=True)
                for clip in dataset.loose.get(stem, ())
            ],
            weight,
        )
        for dataset, weight in datasets
    ]


def _place_start(place: float, n_track: int, n_excerpt: int) -> int:
    """Where an excerpt starts: inside the track, or so that a shorter track is inside the excerpt."""
    first, last = sorted((0, n_track - n_excerpt))
    return first + int(place * (last - first + 1))
