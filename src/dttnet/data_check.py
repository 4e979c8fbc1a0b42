"""What is wrong with a folder of stems, before anybody trains on it.

Every file is decoded once, in blocks: memory does not depend on the length of a song. What stays of each file is 2.6 kB
per second of envelopes, by which the same audio in several splits is found.

Shapes: C channels, N samples, B bands, T frames.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dttnet.audio import AUDIO_SUFFIXES, Resampler, open_audio, resample
from dttnet.chunks import SampleQueue
from dttnet.cpus import count_cpus
from dttnet.dataset import MIXTURE, SPLITS, Clip, Dataset
from dttnet.errors import DttnetError
from dttnet.spans import count_in_long_spans

Float = NDArray[np.float32]

BLOCK_S = 10
"""Seconds of a file that are in memory at a time."""

SILENCE_DB = -60.0
"""A second whose level stays below this counts as silent, in dB of full scale."""

SUM_PROBLEM_DB, SUM_NOTE_DB = -40.0, -60.0
"""Level of mixture minus stems, relative to the mixture, above which it is a problem or worth a note. Sums that were
rounded to 16 bits are near -80 dB; stems in a lossy format are between -40 and -20 dB."""

SAME_ENVELOPES = 0.6
"""Correlation of two files' envelopes above which their samples are compared: copies are above 0.75, other songs below
0.3, other songs of the same tempo and pattern anywhere."""

SAME_SAMPLES = 0.6
"""Correlation of two files' samples above which they are called the same audio: copies are above 0.95 (clipped by 18
dB: 0.75), drum kits that play the same pattern below 0.45. See `compare_samples`."""

MIN_SAME_S = 10
"""Seconds that two files must sound, and share, to be compared by their envelopes."""

_LENGTH_TOLERANCE_S = 0.1
_FULL_SCALE = 0.9999
_CLIPPED_RUN = 3

_FRAMES_PER_S = 10
_BAND_EDGES_HZ = np.geomspace(60, 7680, 8)

# The first look at two files takes frames of half a second, a sixth of the work; copies are above 0.4 there, most other
# songs below 0.35.
_COARSE = 5
_COARSE_SAME_ENVELOPES = 0.35
_COMPARED_AT_ONCE = 64

# Where samples are compared: the seconds that move most, at a rate and in octaves that all formats keep.
_SAMPLES_S = 20
_SAMPLES_HZ = 8000
_SAMPLES_EDGES_HZ = _BAND_EDGES_HZ[:7]
_SHIFT_S = 0.25


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a person should know.

    Attributes:
        level: A "problem" spoils training or evaluation; a "note" is handled, or may be meant.
        kind: What it is about, the same word for the same thing.
        where: Track and stem, or file.
    """

    level: Literal["problem", "note"]
    kind: str
    where: str
    message: str


@dataclass(kw_only=True)
class Report:
    """What `check` found.

    Attributes:
        n_tracks: Split to number of tracks.
        duration_s: Split to stem (also "mixture") to seconds of audio.
        sounding_s: The same, of the seconds that are not silent.
        findings: Problems first.
    """

    roots: list[str] = field(default_factory=list)
    n_tracks: dict[str, int] = field(default_factory=dict)
    duration_s: dict[str, dict[str, float]] = field(default_factory=dict)
    sounding_s: dict[str, dict[str, float]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def n_problems(self) -> int:
        return sum(finding.level == "problem" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "n_problems": self.n_problems}


def check(
    datasets: Sequence[Dataset], *, threads: int | None = None, progress: Callable[[float], None] | None = None
) -> Report:
    """Decode everything and say what a person should know.

    Args:
        datasets: All that is trained, validated and tested with: the same audio is looked for across all of them.
            What has no split counts as "train", but tracks without a split are also compared with the other datasets.
        threads: Songs that are decoded at the same time, None for one per CPU.
        progress: Called with the seconds of audio done since the last call, from any thread.

    Files that cannot be decoded are findings, not errors.
    """
    threads = threads or count_cpus()
    songs = [song for dataset in datasets for song in _songs(dataset, is_one_of_many=len(datasets) > 1)]
    report = Report(roots=[str(dataset.root) for dataset in datasets])
    with ThreadPoolExecutor(threads) as pool:
        studies = list(pool.map(lambda song: _study(song, progress), songs))
    for dataset in datasets:
        report.findings += _judge_folder(dataset)
    for study in studies:
        report.findings += _judge(study)
        _count(report, study)
    report.findings += find_same_audio([facts for study in studies for facts in study.facts.values()], threads=threads)
    report.findings.sort(key=lambda finding: finding.level != "problem")
    return report


@dataclass(frozen=True, kw_only=True)
class _Song:
    """A track, or a loose file, which is a track of one stem without a mixture."""

    root: Path
    where: str
    split: str
    clips: Mapping[str, Clip]
    is_loose: bool


def _songs(dataset: Dataset, *, is_one_of_many: bool) -> Iterator[_Song]:
    prefix = f"{dataset.root}/" if is_one_of_many else ""
    for track in dataset.tracks:
        clips = {**track.stems, **({MIXTURE: track.mixture} if track.mixture is not None else {})}
        where = f"{prefix}{track.split}{'/' * bool(track.split)}{track.name}"
        yield _Song(root=dataset.root, where=where, split=track.split, clips=clips, is_loose=False)
    for stem, loose in dataset.loose.items():
        for clip in loose:
            where = prefix + str(clip.path.relative_to(dataset.root))
            yield _Song(root=dataset.root, where=where, split="", clips={stem: clip}, is_loose=True)


@dataclass(kw_only=True)
class FileFacts:
    """What decoding one file told.

    Attributes:
        root: Of the dataset.
        where: Track and stem.
        split: "train" where there is none.
        may_test: It is of a track without a split, which may be trained or tested with.
        digest: Hash of the samples.
        envelopes: (B, T) float32; see `Envelopes`.
    """

    root: Path
    where: str
    split: str
    may_test: bool
    stem: str
    clip: Clip
    n_read: int = 0
    peak: float = 0.0
    n_clipped: int = 0
    n_not_finite: int = 0
    sounding_s: float = 0.0
    is_one_sided: bool = False
    is_dual_mono: bool = False
    digest: str = ""
    envelopes: Float = field(default_factory=lambda: np.zeros((len(_BAND_EDGES_HZ) - 1, 0), np.float32))
    complaints: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class _Study:
    """What decoding all files of a song told. Energies are sums of squares over samples and channels."""

    song: _Song
    facts: dict[str, FileFacts]
    energy_mixture: float = 0.0
    energy_sum: float = 0.0
    energy_product: float = 0.0
    energy_difference: float = 0.0


def _study(song: _Song, progress: Callable[[float], None] | None) -> _Study:
    facts = {
        stem: FileFacts(
            root=song.root,
            where=song.where if song.is_loose else f"{song.where}/{stem}",
            split=song.split or "train",
            may_test=not song.split and not song.is_loose,
            stem=stem,
            clip=clip,
        )
        for stem, clip in song.clips.items()
    }
    study = _Study(song=song, facts=facts)
    rate = max(clip.sample_rate for clip in song.clips.values())
    streams = {stem: _stereo_blocks(_Listener(facts[stem], progress), rate) for stem in song.clips}
    mixtures = streams.pop(MIXTURE, None)
    while True:
        blocks = [next(stream, None) for stream in streams.values()]
        mixture = next(mixtures, None) if mixtures is not None else None
        if mixture is None and all(block is None for block in blocks):
            return study
        if mixtures is not None:
            _compare(study, mixture, [block for block in blocks if block is not None])


def _compare(study: _Study, mixture: Float | None, stems: Sequence[Float]) -> None:
    """Add what one block of (2, N) each says about whether the stems sum to the mixture."""
    n_samples = max(block.shape[1] for block in (*stems, *([mixture] if mixture is not None else [])))
    total = np.zeros((2, n_samples))
    for block in stems:
        total[:, : block.shape[1]] += block
    whole = np.zeros((2, n_samples))
    if mixture is not None:
        whole[:, : mixture.shape[1]] = mixture
    study.energy_mixture += float(np.vdot(whole, whole))
    study.energy_sum += float(np.vdot(total, total))
    study.energy_product += float(np.vdot(whole, total))
    whole -= total
    study.energy_difference += float(np.vdot(whole, whole))


class _Listener:
    """Decodes a file and writes down what it hears."""

    def __init__(self, facts: FileFacts, progress: Callable[[float], None] | None) -> None:
        self._facts = facts
        self._progress = progress

    def blocks(self) -> Iterator[Float]:
        """(C, N) of `BLOCK_S` seconds each, the last one shorter. Ends early where the file is damaged."""
        facts, clip = self._facts, self._facts.clip
        n_block = BLOCK_S * clip.sample_rate
        queue = SampleQueue((clip.n_channels,))
        envelopes = Envelopes(clip.sample_rate)
        digest = hashlib.blake2b(digest_size=16)
        channel_peaks = np.zeros(clip.n_channels, np.float32)
        facts.is_dual_mono = clip.n_channels == 2
        try:
            with open_audio(clip.path) as reader:
                source = reader.blocks()
                while True:
                    while len(queue) < n_block and (block := next(source, None)) is not None:
                        queue.push(block)
                    if not (block := queue.pop(min(n_block, len(queue)))).size:
                        break
                    n_bad = int(np.count_nonzero(~np.isfinite(block)))
                    if n_bad:
                        facts.n_not_finite += n_bad
                        block = np.nan_to_num(block, posinf=0, neginf=0)
                    digest.update(np.ascontiguousarray(block).data)
                    channel_peaks = np.maximum(channel_peaks, np.abs(block).max(axis=1))
                    facts.is_dual_mono = facts.is_dual_mono and np.array_equal(block[0], block[1])
                    facts.n_clipped += _count_clipped(block)
                    facts.sounding_s += _count_sounding(block, clip.sample_rate)
                    facts.n_read += block.shape[1]
                    envelopes.push(block.mean(axis=0))
                    yield block
                    if self._progress is not None:
                        self._progress(block.shape[1] / clip.sample_rate)
                facts.complaints += reader.warnings
        except DttnetError as error:
            facts.complaints.append(str(error))
        facts.peak = float(channel_peaks.max(initial=0))
        facts.is_one_sided = facts.peak > 0 and not channel_peaks.all()
        facts.digest = digest.hexdigest()
        facts.envelopes = envelopes.finish()


def _stereo_blocks(listener: _Listener, rate: int) -> Iterator[Float]:
    """(2, N) at `rate`, so that blocks of files of one song belong together."""
    clip = listener._facts.clip
    resampler = Resampler(clip.sample_rate, rate, clip.n_channels) if rate != clip.sample_rate else None
    queue = SampleQueue((2,))
    for block in listener.blocks():
        converted = block if resampler is None else resampler.push(block)
        queue.push(np.broadcast_to(converted[:2], (2, converted.shape[1])))
        if len(queue) >= BLOCK_S * rate:
            yield queue.pop(BLOCK_S * rate)
    if resampler is not None:
        rest = resampler.push(np.zeros((clip.n_channels, 0), np.float32), last=True)
        queue.push(np.broadcast_to(rest[:2], (2, rest.shape[1])))
    while len(queue):
        yield queue.pop(min(BLOCK_S * rate, len(queue)))


def _count_clipped(block: Float) -> int:
    """Samples of (C, N) in runs at full scale or above."""
    over = np.abs(block) >= _FULL_SCALE
    return count_in_long_spans(over, at_least=_CLIPPED_RUN) if over.any() else 0


def _count_sounding(block: Float, rate: int) -> float:
    """Seconds of (C, N) that are louder than silence."""
    starts = np.arange(0, block.shape[1], rate)
    energy = np.add.reduceat(np.square(block).mean(axis=0), starts)
    lengths = np.diff(starts, append=block.shape[1])
    return float(lengths[energy > lengths * 10 ** (SILENCE_DB / 10)].sum() / rate)


class Envelopes:
    """How the energy in some bands moves: what stays of audio at another level and in another format.

    Seven bands of an octave from 60 Hz to 7.7 kHz (lossy formats leave them alone), ten frames per second, in dB, at
    most 60 dB below the file's loudest, less their average over two seconds: so a gain or an equaliser does not matter.
    """

    def __init__(self, sample_rate: int) -> None:
        self._hop = sample_rate // _FRAMES_PER_S
        n_fft = 2 * self._hop
        self._window = np.hanning(n_fft + 1)[:-1].astype(np.float32)
        self._edges = np.rint(_BAND_EDGES_HZ * n_fft / sample_rate).astype(int).clip(max=self._hop)
        self._rest = np.zeros(self._hop, np.float32)
        self._powers: list[Float] = []

    def push(self, mono: Float) -> None:
        """Samples (N,), in order."""
        samples = np.concatenate([self._rest, mono])
        n_frames = max(len(samples) // self._hop - 1, 0)
        self._rest = samples[n_frames * self._hop :]
        if n_frames:
            frames = np.lib.stride_tricks.sliding_window_view(samples, 2 * self._hop)[:: self._hop][:n_frames]
            spectrum = np.fft.rfft(frames * self._window)
            power = np.square(spectrum.real) + np.square(spectrum.imag)
            # The last edge only ends the last band.
            self._powers.append(np.add.reduceat(power[:, : self._edges[-1]], self._edges[:-1], axis=1).T)

    def finish(self) -> Float:
        """(B, T) in dB."""
        if not self._powers:
            return np.zeros((len(self._edges) - 1, 0), np.float32)
        power = np.concatenate(self._powers, axis=1, dtype=np.float64)
        if not power.max() > 0:
            return np.zeros(power.shape, np.float32)
        level = 10 * np.log10(np.maximum(power / power.max(), 1e-6))
        width = 2 * _FRAMES_PER_S + 1
        padded = np.pad(level, ((0, 0), (width // 2 + 1, width // 2)), mode="edge").cumsum(axis=1)
        average = (padded[:, width:] - padded[:, :-width]) / width
        return np.asarray(level - average, np.float32)


def compare_envelopes(
    first: Float, seconds: Sequence[Float], *, frames_per_s: float = _FRAMES_PER_S
) -> list[tuple[float, float]]:
    """How alike a file's (B, T) is to others', 0 to 1, at the best offset; and by how many seconds the other is later.

    They are compared where they overlap, if that is `MIN_SAME_S` at least and holds a third of the energy of the file
    that has less: so a copy that starts elsewhere, or is cut out of the other, is found.
    """
    n_first = first.shape[1]
    lengths = np.array([second.shape[1] for second in seconds])[:, None]
    n_longest = int(lengths.max())
    n_min = int(MIN_SAME_S * frames_per_s)
    if min(n_first, n_longest) < n_min:
        return [(0.0, 0.0)] * len(seconds)
    padded = np.stack([np.pad(second, ((0, 0), (0, n_longest - second.shape[1]))) for second in seconds])
    n_fft = 1 << (n_first + n_longest - 1).bit_length()
    product = np.einsum("kbf,bf->kf", np.fft.rfft(padded, n_fft).conj(), np.fft.rfft(first, n_fft))
    correlation = np.fft.irfft(product, n_fft)
    lags = np.arange(-(n_longest - n_min), n_first - n_min + 1)  # frame t of the second beside t + lag of the first
    first_sums = _sum_energy(first[None])[0]
    second_sums = _sum_energy(padded)
    start, end = np.maximum(lags, 0), np.clip(lags + lengths, 0, n_first)
    overlap = end - start
    end = np.maximum(end, start)
    first_energy = first_sums[end] - first_sums[start]
    second_energy = np.take_along_axis(second_sums, end - lags, axis=1) - second_sums[:, start - lags]
    enough = np.minimum(first_sums[-1], second_sums[:, -1:]) / 3
    weight = np.sqrt(first_energy * second_energy)
    is_fit = (overlap >= n_min) & (np.minimum(first_energy, second_energy) >= enough) & (weight > 0)
    scores = np.where(is_fit, correlation[:, lags % n_fft], 0) / np.where(is_fit, weight, 1)
    best = scores.argmax(axis=1)
    return [(float(scores[k, lag]), float(-lags[lag] / frames_per_s)) for k, lag in enumerate(best)]


def _sum_energy(envelopes: Float) -> NDArray[np.float64]:
    """(K, B, T) -> (K, T + 1): the energy before each frame."""
    energy = np.square(envelopes, dtype=np.float64).sum(axis=1).cumsum(axis=1)
    return np.pad(energy, ((0, 0), (1, 0)))


def compare_samples(first: FileFacts, second: FileFacts, offset_s: float) -> float:
    """How alike the samples of two files are, 0 to 1, where their envelopes move most.

    The magnitude of the cross-correlation in each of six octaves, whatever the level, polarity and phase of each, at
    the shift that all agree on best. Octaves weigh by the root of their amplitude: the loudest alone is not enough.

    Args:
        offset_s: By how much the second is later, to a tenth of a second.
    """
    lag = round(-offset_s * _FRAMES_PER_S)
    start, end = max(lag, 0), min(lag + second.envelopes.shape[1], first.envelopes.shape[1])
    moves = (first.envelopes[:, start:end] * second.envelopes[:, start - lag : end - lag]).sum(axis=0)
    n_frames = min(_SAMPLES_S * _FRAMES_PER_S, end - start)
    sums = np.concatenate([[0.0], moves.cumsum(dtype=np.float64)])
    start += int((sums[n_frames:] - sums[:-n_frames]).argmax())
    try:
        pair = [
            _read_low(facts.clip, frame / _FRAMES_PER_S, n_frames / _FRAMES_PER_S)
            for facts, frame in ((first, start), (second, start - lag))
        ]
    except DttnetError:
        return 0.0  # a finding of its own
    n_fft = 1 << (2 * max(map(len, pair)) - 1).bit_length()
    spectra = [np.fft.rfft(samples, n_fft) for samples in pair]
    edges = np.rint(_SAMPLES_EDGES_HZ * n_fft / _SAMPLES_HZ).astype(int)
    n_shift = round(_SHIFT_S * _SAMPLES_HZ)
    total, total_weight = np.zeros(2 * n_shift + 1), 0.0
    for low, high in pairwise(edges):
        bands = [spectrum[low:high] for spectrum in spectra]
        energy = float(np.sqrt(np.prod([np.vdot(band, band).real for band in bands])))
        if not energy:
            continue
        product = np.zeros(n_fft, np.complex128)
        product[low:high] = bands[0].conj() * bands[1]
        correlation = np.abs(np.fft.ifft(product)) * n_fft / energy  # of the analytic signal: 1 for equal samples
        weight = energy**0.25
        total += weight * np.concatenate([correlation[-n_shift:], correlation[: n_shift + 1]])
        total_weight += weight
    return float(total.max() / total_weight) if total_weight else 0.0


def _read_low(clip: Clip, start_s: float, duration_s: float) -> Float:
    """(N,) at a low rate: the mean of the channels."""
    samples = clip.read(round(start_s * clip.sample_rate), round(duration_s * clip.sample_rate))
    mono: Float = resample(samples.mean(axis=0, keepdims=True), clip.sample_rate, _SAMPLES_HZ, quality="HQ")[0]
    return mono


def find_same_audio(files: Sequence[FileFacts], *, threads: int | None = None) -> list[Finding]:
    """The same audio in two splits, and two stems of a song that are the same file.

    Equal samples are found whatever their length. Other copies are found by their envelopes, and confirmed by their
    samples: at another level, in another format, with another start, cut out of the other (10 s at least), equalised.
    Not found: at another speed, only a part of both (a sample of another song), with less than 10 s of sound, or the
    stem of one song inside the mixture of another: files are compared stem by stem.
    """
    findings = []
    by_digest: dict[str, list[FileFacts]] = defaultdict(list)
    for facts in files:
        if facts.sounding_s:
            by_digest[facts.digest].append(facts)
    for same in by_digest.values():
        for first, second in combinations(same, 2):
            if first.clip.path.parent == second.clip.path.parent and first.stem != second.stem:
                # A song of one stem is its mixture.
                if MIXTURE not in (first.stem, second.stem):
                    message = f"has exactly the samples of {second.where}: one of them is mislabelled"
                    findings.append(Finding(level="problem", kind="same audio", where=first.where, message=message))
            elif _are_apart(first, second):
                message = f"has exactly the samples of {second.where}: {_what_to_do(first, second)}"
                findings.append(Finding(level="problem", kind="same audio", where=first.where, message=message))
    with ThreadPoolExecutor(threads or count_cpus()) as pool:
        candidates = _find_alike(files, pool)
        results = pool.map(lambda pair: _compare_pair(*pair), candidates)
        for (first, second), (score, offset_s) in zip(candidates, results, strict=True):
            if score >= SAME_SAMPLES:
                offset = f", there {abs(offset_s):.1f} s {'later' if offset_s > 0 else 'earlier'}" if offset_s else ""
                message = f"is the audio of {second.where}{offset} (correlation {score:.2f})"
                message += f": {_what_to_do(first, second)}"
                findings.append(Finding(level="problem", kind="same audio", where=first.where, message=message))
    return findings


def _are_apart(first: FileFacts, second: FileFacts) -> bool:
    """Whether one may be trained and the other tested with."""
    if first.split != second.split:
        return True
    return first.root != second.root and (first.may_test or second.may_test)


def _what_to_do(first: FileFacts, second: FileFacts) -> str:
    if first.split != second.split:
        return "remove it from one of the splits"
    return "remove it from one of the folders, if you train with one and test with the other"


def _find_alike(files: Sequence[FileFacts], pool: ThreadPoolExecutor) -> list[tuple[FileFacts, FileFacts]]:
    """Pairs whose envelopes are alike at a first look."""
    by_stem: dict[str, list[tuple[FileFacts, Float]]] = defaultdict(list)
    for facts in sorted(files, key=lambda facts: (SPLITS.index(facts.split), facts.root)):
        if facts.sounding_s >= MIN_SAME_S:
            n_frames = facts.envelopes.shape[1] // _COARSE
            coarse = facts.envelopes[:, : n_frames * _COARSE].reshape(-1, n_frames, _COARSE).mean(axis=2)
            by_stem[facts.stem].append((facts, coarse))
    found = []

    def look(first: tuple[FileFacts, Float], block: Sequence[tuple[FileFacts, Float]]) -> list[FileFacts]:
        others = [each for each in block if _are_apart(first[0], each[0]) and first[0].digest != each[0].digest]
        if not others:
            return []
        scores = compare_envelopes(first[1], [coarse for _, coarse in others], frames_per_s=_FRAMES_PER_S / _COARSE)
        return [facts for (facts, _), (score, _) in zip(others, scores, strict=True) if score >= _COARSE_SAME_ENVELOPES]

    for group in by_stem.values():
        for start in range(0, len(group), _COMPARED_AT_ONCE):
            block = group[start : start + _COMPARED_AT_ONCE]
            # Each pair once: files before the block against all of it, those of the block against what follows.
            jobs = [
                (each, block[max(index - start + 1, 0) :]) for index, each in enumerate(group[: start + len(block)])
            ]
            for (each, _), alike in zip(jobs, pool.map(lambda job: look(*job), jobs), strict=True):
                found += [(each[0], other) for other in alike]
    return found


def _compare_pair(first: FileFacts, second: FileFacts) -> tuple[float, float]:
    """How alike two files are by their samples, if they are by their envelopes; and by how much the second is later."""
    ((score, offset_s),) = compare_envelopes(first.envelopes, [second.envelopes])
    return (compare_samples(first, second, offset_s), offset_s) if score >= SAME_ENVELOPES else (0.0, 0.0)


def _count(report: Report, study: _Study) -> None:
    split = study.song.split
    name = "loose" if study.song.is_loose else split or "no split"
    report.n_tracks[name] = report.n_tracks.get(name, 0) + 1
    for stem, facts in study.facts.items():
        durations = report.duration_s.setdefault(name, {})
        durations[stem] = durations.get(stem, 0.0) + facts.n_read / facts.clip.sample_rate
        sounding = report.sounding_s.setdefault(name, {})
        sounding[stem] = sounding.get(stem, 0.0) + facts.sounding_s


def _judge_folder(dataset: Dataset) -> Iterator[Finding]:
    """What shows without decoding."""
    root = str(dataset.root)
    rates: dict[int, int] = defaultdict(int)
    for clip in (
        *(c for track in dataset.tracks for c in track.clips),
        *(c for cs in dataset.loose.values() for c in cs),
    ):
        rates[clip.sample_rate] += 1
    if len(rates) > 1:
        counts = ", ".join(f"{rate} Hz: {rates[rate]} files" for rate in sorted(rates))
        yield Finding(level="note", kind="rates", where=root, message=f"{counts}; they are resampled as they are read")
    for stem in dataset.stems:
        n_with = sum(stem in track.stems for track in dataset.tracks)
        if not n_with and stem not in dataset.loose:
            message = f"no {stem} anywhere: nothing can be trained or evaluated for it"
            yield Finding(level="note", kind="missing stem", where=root, message=message)
    for folder in dataset.unused:
        message = "not used: it is no track, for no file is called like a stem, or it lies too deep"
        yield Finding(level="note", kind="unused files", where=str(folder), message=message)
    splits = {track.split for track in dataset.tracks}
    if splits & set(SPLITS) and "valid" not in splits and "train" in splits:
        message = "no validation tracks: move some of train/ to valid/ to see how training goes"
        yield Finding(level="note", kind="splits", where=root, message=message)
    for track in dataset.tracks:
        where = f"{track.split}{'/' * bool(track.split)}{track.name}"
        used = {clip.path.name for clip in track.clips}
        others = [path.name for path in sorted(track.clips[0].path.parent.iterdir()) if _is_unused(path, used)]
        if others:
            message = f"{', '.join(others)}: not used, no stem is called so"
            yield Finding(level="note", kind="unused files", where=where, message=message)
        missing = [stem for stem in dataset.stems if stem not in track.stems]
        if missing:
            message = f"no {', '.join(missing)}: counts as silence"
            yield Finding(level="note", kind="missing stem", where=where, message=message)


def _is_unused(path: Path, used: set[str]) -> bool:
    return path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".") and path.name not in used


def _judge(study: _Study) -> Iterator[Finding]:
    for facts in study.facts.values():
        yield from _judge_file(facts)
    if study.song.is_loose:
        return
    where = study.song.where
    all_facts = list(study.facts.values())
    rates = {facts.clip.sample_rate for facts in all_facts}
    if len(rates) > 1:
        listed = ", ".join(f"{facts.stem} {facts.clip.sample_rate} Hz" for facts in all_facts)
        yield Finding(level="note", kind="rates", where=where, message=f"{listed}: resampled as they are read")
    stems = [facts for facts in all_facts if facts.stem != MIXTURE]
    if not any(facts.sounding_s for facts in stems):
        yield Finding(level="problem", kind="silence", where=where, message="all its stems are silent: remove it")
    relative_db = _relative_db(study)
    adds_up = relative_db is not None and relative_db <= SUM_PROBLEM_DB
    yield from _judge_lengths(where, all_facts, adds_up=adds_up)
    if relative_db is not None and relative_db > SUM_NOTE_DB:
        yield Finding(
            level="note" if adds_up else "problem", kind="sum", where=where, message=_describe_sum(study, relative_db)
        )


def _judge_file(facts: FileFacts) -> Iterator[Finding]:
    def finding(level: Literal["problem", "note"], kind: str, message: str) -> Finding:
        return Finding(level=level, kind=kind, where=facts.where, message=message)

    for complaint in facts.complaints:
        yield finding("problem", "damaged file", complaint)
    if facts.n_not_finite:
        yield finding("problem", "not finite", f"{facts.n_not_finite} samples are NaN or infinite: export it again")
    n_channels = facts.clip.n_channels
    if n_channels > 2:
        yield finding(
            "problem", "channels", f"{n_channels} channels, of which only the first two are used: mix it down"
        )
    elif n_channels == 1:
        yield finding("note", "mono", "one channel: it is used for both")
    if not facts.sounding_s:
        yield finding("note", "silence", f"silent (never above {SILENCE_DB:.0f} dB)")
        return
    if facts.is_one_sided:
        yield finding("note", "one-sided", "one of its channels is silent")
    elif facts.is_dual_mono:
        yield finding("note", "mono", "both channels are the same")
    if facts.n_clipped:
        peak_db = 20 * np.log10(facts.peak)
        yield finding("note", "clipping", f"{facts.n_clipped} samples at full scale or above (peak {peak_db:+.1f} dB)")


def _judge_lengths(where: str, files: Sequence[FileFacts], *, adds_up: bool) -> Iterator[Finding]:
    lengths_s = {facts.stem: facts.n_read / facts.clip.sample_rate for facts in files}
    longest_s = max(lengths_s.values())
    differences_s = {stem: longest_s - length for stem, length in lengths_s.items()}
    # Less than a sample of the slowest rate is rounding.
    if max(differences_s.values()) < 1 / min(facts.clip.sample_rate for facts in files):
        return
    listed = ", ".join(f"{stem} by {short_s:.3g} s" for stem, short_s in differences_s.items() if short_s)
    is_harmless = adds_up or max(differences_s.values()) <= _LENGTH_TOLERANCE_S
    message = f"shorter than the longest file: {listed}; silence is added at their ends"
    if not is_harmless:
        message += ". Make sure that all files begin at the same time"
    yield Finding(level="note" if is_harmless else "problem", kind="lengths", where=where, message=message)


def _relative_db(study: _Study) -> float | None:
    """Level of mixture minus stems relative to the mixture; None if there is no mixture, or nothing in it."""
    if not study.energy_mixture:
        return None
    return float(10 * np.log10(max(study.energy_difference / study.energy_mixture, 1e-20)))


def _describe_sum(study: _Study, relative_db: float) -> str:
    message = f"mixture minus stems is at {relative_db:.1f} dB of the mixture"
    if study.energy_product > 0:
        gain = study.energy_product / study.energy_sum
        rest = 1 - study.energy_product * gain / study.energy_mixture
        rest_db = 10 * np.log10(max(rest, 1e-12))
        if rest_db < relative_db - 3:
            message += f", {rest_db:.1f} dB with all stems changed by {20 * np.log10(gain):+.2f} dB"
    if relative_db > SUM_PROBLEM_DB:
        message += ": is a stem missing, changed or shifted? Training uses the stems' sum, never the mixture file"
    return message
