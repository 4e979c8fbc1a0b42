"""From a mixture to its stems: the only place where the parts are put together.

Shapes: B chunks times pairs, C channels of the source, P pairs of channels, S stems of the model, K tracks that go
through the inverse transform, N samples, T frames, F bins.
"""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from dttnet import store
from dttnet.audio import BLOCK, MAX_RATE_HZ, MIN_RATE_HZ, Encoding, Resampler, StemWriter, open_audio
from dttnet.chunks import Chunk, Chunker, ChunkPlan, OverlapAdd, SampleQueue
from dttnet.config import Transform
from dttnet.consistency import missing_shares, treble_shares, upper_end
from dttnet.cpus import count_cpus
from dttnet.errors import AudioError, ModelError, OutOfMemoryError, UsageError
from dttnet.files import without_links
from dttnet.layout import Layout
from dttnet.runtime import Network
from dttnet.runtime.choice import AUTO, open_networks
from dttnet.runtime.onnx import read_card
from dttnet.stft import istft, pack, stft, unpack
from dttnet.wiener import spatial_covariances, wiener_filter

Float = NDArray[np.float32]
Result = TypeVar("Result")
Progress = Callable[[int, int | None], None]
"""Called with the samples done and the samples in all (None if unknown)."""

# Chosen by benchmarks/qualities.py: more changes the quality by hundredths of a dB, and costs memory.
DEFAULT_FRAMES = 128
_LOW_MEMORY_FRAMES = 64
_REFERENCE_FRAMES = 256

_N_PARALLEL = 2
"""Chunks that are worked on at once, where the engine gains by it: more would cost memory on every machine."""

_MANY_THREADS = 64
"""More than these, and than four for each CPU, are surely a mistake: ONNX Runtime would start them until memory is
gone."""

# More are surely samples in the place of channels.
MAX_CHANNELS = 64

# Half a step of 24-bit samples. A chunk that stays below it is silence, and its stems are zero.
_SILENCE = 2.0**-24


# What a chunk leaves of the past, when it is told where in the stereo image a stem is. Half of it is forgotten in a
# minute, as another song may follow.
_MEMORY = np.float32(0.97)


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How much work is done for a song.

    Attributes:
        overlap: See `Separator`.
        swaps: Average with what the model's own networks give for the song whose left and right are swapped, which they
            do not treat quite alike. Twice the work.
        filters: Where all stems are known and add up, they go through a Wiener filter, which hears where in the stereo
            image each is.
        averages: Where a model has several networks of the same stems, the mean of all, not the first alone.
        companions: Average with what a model's companions give: `dttnet.store.Model.companions`.
    """

    overlap: float
    swaps: bool = False
    filters: bool = True
    averages: bool = True
    companions: bool = False


QUALITIES = {
    # One hop of cross-fade: chunks that only follow each other click.
    "fast": Quality(overlap=0.005, filters=False, averages=False),
    "balanced": Quality(overlap=0.03),
    "best": Quality(overlap=0.25, swaps=True, companions=True),
}
"""Chosen from the table of benchmarks/qualities.py."""
DEFAULT_QUALITY = "balanced"


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """What `Separator.separate_file` did.

    Attributes:
        outputs: File of each stem.
        duration_s: Of the source.
        peak: Highest absolute sample of all stems, before `gain`.
        gain: Common gain of all files; below 1 only where an integer or lossy format would have clipped.
        null_db: Upper bound of the peak of source minus the sum of the files, in dB of full scale, but for what float32
            rounds where the source has more digits or `gain` is not 1; None where the files are not all of the song or
            lossy.
        warnings: What a person should know, one sentence each.
    """

    outputs: dict[str, Path]
    duration_s: float
    peak: float
    gain: float
    null_db: float | None
    warnings: tuple[str, ...]


class Separator:
    """Separates songs with one model. Build it once; all methods may be called from several threads at once.

    Args:
        model: Name of a model in the package, or a folder or ONNX file; or networks that are ready to run (`device` and
            `threads` are theirs then).
        stems: The stems wanted, None for all. Networks that give none of them are not loaded.
        complement: Name of one more output, the source minus all `stems`. By default there is one, named "other" or
            "no_<stem>", only if all stems are wanted and the model has no stem "other".
        adds_up: The outputs add up to the source: inside the networks' band by mixture consistency (Wisdom et al.
            2019) where all stems are known, above it each goes on with its share of the energy below, and "other" or
            the complement takes the rest. False gives the bare estimates.
        engine: "onnxruntime", "openvino" or "torch", or "auto"; see `dttnet.runtime.choice`.
        device: "auto", "cpu", "cuda", ...; anything but "auto" is used or it is an error.
        precision: Of the networks' arithmetic: "float32", or "bfloat16" or "float16" where engine and device have it.
        compiled: Compile the networks for this machine, with the engine torch: takes minutes, for GPUs and long work.
        threads: Threads of the CPU engine; None leaves it to the engine. Those of torch are the whole process's.
        quality: One of `QUALITIES`: how much work is done for a song.
        low_memory: Shorter chunks, one at a time: somewhat slower.
        overlap: Share of a chunk that the next one repeats, 0 to 0.9; None is that of the quality. With 0 chunks follow
            each other without a cross-fade, and can click.
        chunk_frames: Frames per chunk, None for a good default.
        batch_size: Chunks per call of a network. More helps only on a GPU, and costs memory: if that is short, it is
            halved, and the report says so.
        chunk_edges: What the outer frames of a chunk see: the "neighbours" of the chunk, or its own "reflect"ion, as
            in the reference implementation (whose results are the bare estimates of overlap 0 and this).

    Attributes:
        engine: What runs the networks.
        device: Where.
        warnings: What "auto" could not start, one sentence each.

    Raises:
        UsageError: An argument is out of range.
        ModelError: The model is not there, or lacks a stem.
        DeviceError: The engine or the device is not there.
    """

    def __init__(
        self,
        model: str | Path | Sequence[Network] = store.DEFAULT_MODEL,
        *,
        stems: Sequence[str] | None = None,
        complement: str | None = None,
        adds_up: bool = True,
        engine: str = AUTO,
        device: str = AUTO,
        precision: str = "float32",
        compiled: bool = False,
        threads: int | None = None,
        quality: str = DEFAULT_QUALITY,
        low_memory: bool = False,
        overlap: float | None = None,
        chunk_frames: int | None = None,
        batch_size: int = 1,
        chunk_edges: Literal["neighbours", "reflect"] = "neighbours",
    ) -> None:
        if threads is not None and threads < 1:
            raise UsageError(f"threads is {threads}: give at least 1")
        if threads is not None and threads > max(_MANY_THREADS, 4 * count_cpus()):
            raise UsageError(f"threads is {threads}: there are {count_cpus()} CPUs; give as many or fewer")
        if quality not in QUALITIES:
            raise UsageError(f"quality is {quality!r}: give {', '.join(QUALITIES)}")
        if batch_size < 1:
            raise UsageError(f"batch_size is {batch_size}: give at least 1")
        if chunk_edges not in ("neighbours", "reflect"):
            raise UsageError(f"chunk_edges is {chunk_edges!r}: give 'neighbours' or 'reflect'")
        if isinstance(model, Path):
            model = str(model)
        work = QUALITIES[quality]
        self.model = (
            store.find(model, companions=work.companions)
            if isinstance(model, str)
            else store.Model(name="networks", files=())
        )
        paths = (*self.model.files, *self.model.companions)
        cards = [read_card(path) for path in paths] if isinstance(model, str) else [network.card for network in model]
        self._layout = Layout.of(self.model.name, cards, stems, complement, adds_up=adds_up, averages=work.averages)
        self._adds_up = adds_up
        self._batch_size = batch_size
        self._reflect = chunk_edges == "reflect"
        self._networks: list[Network]
        self.warnings: tuple[str, ...] = ()
        if isinstance(model, str):
            opened = open_networks(
                [paths[index] for index in self._layout.used],
                engine=engine,
                device=device,
                threads=threads,
                precision=precision,
                compiled=compiled,
                n_parallel=1 if low_memory else _N_PARALLEL,
            )
            self._networks, self.warnings = opened.networks, opened.failed
        else:
            self._networks = [model[index] for index in self._layout.used]
        self.engine = self._networks[0].engine
        self.device = self._networks[0].device
        self.transform = self._layout.transform
        n_own = len(cards) - len(self.model.companions)
        self._swaps = [work.swaps and index < n_own for index in self._layout.used]
        # A single stem beside all the rest is not filtered: the rest has no one place.
        self._filters = self._layout.projects and work.filters
        n_frames = _REFERENCE_FRAMES if self._reflect else _LOW_MEMORY_FRAMES if low_memory else DEFAULT_FRAMES
        multiple = math.lcm(*(network.card.frame_multiple for network in self._networks))
        self.plan = ChunkPlan(
            n_fft=self.transform.n_fft,
            hop=self.transform.hop,
            n_frames=chunk_frames if chunk_frames is not None else -(-n_frames // multiple) * multiple,
            frame_multiple=multiple,
            overlap=work.overlap if overlap is None else overlap,
            shorten_last=not self._reflect,
        )

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return self._layout.outputs

    def separate(
        self, mix: NDArray[np.floating], sample_rate: int, *, progress: Progress | None = None
    ) -> dict[str, Float]:
        """Separate a song that is in memory.

        Args:
            mix: (C, N), any number of channels; full scale is 1. Not modified.
            sample_rate: In Hz, 8000 to 192000.
            progress: See `Progress`.

        Returns:
            Stem to (C, N) float32, at the same rate.

        Raises:
            AudioError: The array has another shape, or holds NaN or infinite samples.
        """
        _check_form(mix, "mix")
        n_channels, n_samples = mix.shape
        result = {name: np.empty((n_channels, n_samples), np.float32) for name in self.stems}
        done = 0
        blocks = (mix[:, start : start + BLOCK] for start in range(0, n_samples, BLOCK))
        for part in self.stream(blocks, sample_rate, progress=progress, n_samples=n_samples):
            n_part = part[self.stems[0]].shape[1]
            for name, samples in part.items():
                result[name][:, done : done + n_part] = samples
            done += n_part
        return result

    def stream(
        self,
        blocks: Iterable[NDArray[np.floating]],
        sample_rate: int,
        *,
        progress: Progress | None = None,
        n_samples: int | None = None,
    ) -> Generator[dict[str, Float], None, None]:
        """Separate a song that comes in blocks, with memory that does not depend on its length.

        Args:
            blocks: (C, n) each, any n; the same C for all.
            sample_rate: In Hz, 8000 to 192000.
            progress: See `Progress`.
            n_samples: Only for `progress`.

        Yields:
            Stem to (C, m) float32: together exactly as many samples as came in. How they are cut into blocks does not
            change a sample. Who stops before the end calls `close`, which ends the threads.

        Raises:
            AudioError: A block has another form, or holds NaN or infinite samples.
        """
        if not MIN_RATE_HZ <= sample_rate <= MAX_RATE_HZ:
            raise AudioError(f"sample_rate is {sample_rate}: give {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz")
        run: _Run | None = None
        try:
            for raw in blocks:
                _check_form(raw, "block")
                with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and said below
                    block = np.array(raw, np.float32, order="C")  # a copy: the caller may use its buffer again
                _check_samples(block, run.n_in if run else 0, sample_rate)
                if run is None:
                    run = _Run(self, sample_rate, block.shape[0])
                elif block.shape[0] != run.n_channels:
                    raise AudioError(f"the blocks have {run.n_channels} and then {block.shape[0]} channels")
                for part in run.push(block):
                    yield part
                    if progress is not None:
                        progress(run.n_out, n_samples)
            if run is not None:
                for part in run.flush():
                    yield part
                    if progress is not None:
                        progress(run.n_out, n_samples)
        finally:
            if run is not None:
                run.close()

    def separate_file(
        self,
        path: str | Path,
        out: str | Path | Mapping[str, str | Path],
        *,
        encoding: Encoding | None = None,
        progress: Progress | None = None,
    ) -> FileReport:
        """Separate an audio file into files of the same sample rate, length and channel count.

        Args:
            path: Anything `dttnet.audio.open_audio` reads.
            out: A folder (the files are named after the stems), or the file of each stem.
            encoding: How to write; by default WAV of the source's depth, at least 24 bits.
            progress: See `Progress`.

        Returns:
            What was done. The files appear together and whole, or an error is raised and none does.

        Raises:
            AudioError: The source cannot be read or a file cannot be written.
            UsageError: A file would overwrite the source or another one, or there is not one for each stem.
            ModelError: The network gave something that is not a number.
        """
        path = Path(path)
        encoding = encoding or Encoding()
        if isinstance(out, Mapping):
            if set(out) != set(self.stems):
                raise UsageError(
                    f"out has files for {', '.join(out) or 'nothing'}: give one for each of {', '.join(self.stems)}"
                )
            outputs = {stem: Path(out[stem]) for stem in self.stems}
        else:
            outputs = {stem: Path(out) / f"{stem}.{encoding.format}" for stem in self.stems}
        targets = [without_links(output) for output in outputs.values()]
        if without_links(path) in targets:
            raise UsageError(f"{path}: would be overwritten by one of its stems; choose another place for them")
        if len(set(targets)) < len(targets):
            raise UsageError(f"{path}: several of its stems would be written to one file")
        null = 0.0
        n_done = 0
        batch_size = self._batch_size
        with open_audio(path) as reader, StemWriter(outputs, encoding, reader.info) as writer:
            rate = reader.info.sample_rate
            if reader.info.n_channels > MAX_CHANNELS:
                raise AudioError(f"{path}: has {reader.info.n_channels} channels, more than {MAX_CHANNELS}: split it")
            source = SampleQueue((reader.info.n_channels,))

            def blocks() -> Iterator[Float]:
                for block in reader.blocks():
                    source.push(block)
                    yield block

            try:
                for part in self.stream(blocks(), rate, progress=progress, n_samples=reader.info.n_samples):
                    writer.write(part)
                    n_part = part[self.stems[0]].shape[1]
                    if n_part:
                        # In float64, or the subtraction would add errors of its own.
                        missing = source.pop(n_part).astype(np.float64)
                        for samples in part.values():
                            missing -= samples
                        null = max(null, float(np.abs(missing).max()))
                    n_done += n_part
            except AudioError as error:
                raise error if str(path) in str(error) else AudioError(f"{path}: {error}") from error
            if not n_done:
                raise AudioError(f"{path}: holds no samples")
            written = writer.finish()
        warnings = [*reader.warnings, *written.warnings]
        if self._batch_size < batch_size:
            warnings.append(
                f"{self.device} has too little memory for {batch_size} chunks at once: {self._batch_size} from now on"
            )
        complete = self._adds_up and self._layout.is_complete and written.rounding is not None
        return FileReport(
            outputs=outputs,
            duration_s=n_done / rate,
            peak=written.peak,
            gain=written.gain,
            null_db=_db(null * written.gain + (written.rounding or 0.0)) if complete else None,
            warnings=tuple(warnings),
        )

    def _estimate_in_memory(self, audio: Float) -> _Estimates:
        """`_estimate`, with smaller batches from now on if the device has too little memory."""
        n_at_once = len(audio)
        while True:
            try:
                parts = [audio[first : first + n_at_once] for first in range(0, len(audio), n_at_once)]
                return _Estimates.joined([self._estimate(part) for part in parts])
            except (OutOfMemoryError, MemoryError) as error:
                if n_at_once == 1:
                    if isinstance(error, OutOfMemoryError):
                        raise
                    raise OutOfMemoryError(f"{self.device}: out of memory ({error})") from error
                n_at_once = -(-n_at_once // 2)
                self._batch_size = min(self._batch_size, n_at_once)

    def _estimate(self, audio: Float) -> _Estimates:
        """One call of the networks, on chunk inputs (B, 2, core + 2 n_fft)."""
        half = self.plan.half
        if self._reflect:
            audio = np.pad(audio[..., half:-half], ((0, 0), (0, 0), (half, half)), mode="reflect")
        n_seen = self.transform.n_bins
        spectrum = stft(audio, self._whole)
        mixture = pack(spectrum[..., :n_seen])
        found: list[list[Float]] = [[] for _ in self._layout.known]
        for network, positions, swaps in zip(self._networks, self._layout.positions, self._swaps, strict=True):
            n_bins = network.card.transform.n_bins
            seen = np.ascontiguousarray(mixture[..., :n_bins])
            for given in [network(seen), *([_from_other_side(network, seen)] if swaps else [])]:
                for index, position in enumerate(positions):
                    found[position].append(_widened(given[:, index], n_seen))
        estimates = [_mean(given) for given in found]
        covariances = np.zeros((len(mixture), 0, 4, n_seen), np.float32)
        if self._filters:
            covariances = spatial_covariances(estimates)
        return _Estimates(spectrum=spectrum, mixture=mixture, stems=estimates, covariances=covariances)

    @property
    def _whole(self) -> Transform:
        """Of spectra with the bins that outputs have: those of the networks, and those above if outputs add up. The
        last one alone, at half the sample rate, is not worth the work."""
        n_bins, n_fft = self.transform.n_bins, self.transform.n_fft
        is_continued = self._adds_up and n_bins < n_fft // 2
        return replace(self.transform, n_bins=n_fft // 2 + 1) if is_continued else self.transform

    def _render(self, found: _Estimates, covariances: Float, start: int) -> Float:
        """Estimates of chunks -> tracks (B, K, 2, core).

        Args:
            covariances: (B, S, 4, F) to filter with; see `wiener_filter`.
            start: Of the first chunk, in samples, for people.
        """
        half = self.plan.half
        n_seen, whole = self.transform.n_bins, self._whole
        is_continued = whole.n_bins > n_seen
        spectrum, mixture = found.spectrum, found.mixture
        estimates = wiener_filter(found.stems, mixture, covariances) if self._filters else found.stems
        # What each stem is the sum of: to add it up here would be a copy of all.
        parts = [[estimate] for estimate in estimates]
        if self._layout.projects:
            for own, share in zip(parts, missing_shares(estimates, mixture), strict=True):
                own.append(share)
        treble = spectrum[..., n_seen:]
        shares: list[Float] = []
        if is_continued:
            end = upper_end(n_seen)
            ends = [unpack(functools.reduce(np.add, [part[..., end] for part in own])) for own in parts]
            shares = treble_shares(ends, spectrum[..., end], treble)
        tracks = np.empty((len(mixture), len(self._layout.tracks), 2, self.plan.core_of(mixture.shape[2])), np.float32)
        for number, members in enumerate(self._layout.tracks):
            track = unpack(functools.reduce(np.add, [part for member in members for part in parts[member]]))
            if is_continued:
                above = treble * functools.reduce(np.add, [shares[member] for member in members])
                track = np.concatenate([track, above], axis=-1)
            tracks[:, number] = istft(track, whole)[..., half:-half]
        if not np.isfinite(tracks).all():
            at_s = start / self.transform.sample_rate
            raise ModelError(f"model {self.model.name!r}: the network gave NaN or infinite values at {at_s:.1f} s")
        return tracks


@dataclass(frozen=True, kw_only=True)
class _Estimates:
    """What the networks say of B chunks.

    Attributes:
        spectrum: (B, 2, T, F'), of the mixture, with the bins above the networks' band if they are needed.
        mixture: (B, 4, T, F), packed.
        stems: (B, 4, T, F) of each known stem.
        covariances: (B, S, 4, F), see `spatial_covariances`; of no stem if nothing is filtered.
    """

    spectrum: NDArray[np.complex64]
    mixture: Float
    stems: list[Float]
    covariances: Float

    @classmethod
    def joined(cls, parts: Sequence[_Estimates]) -> _Estimates:
        if len(parts) == 1:
            return parts[0]
        return cls(
            spectrum=np.concatenate([part.spectrum for part in parts]),
            mixture=np.concatenate([part.mixture for part in parts]),
            stems=[np.concatenate(stems) for stems in zip(*[part.stems for part in parts], strict=True)],
            covariances=np.concatenate([part.covariances for part in parts]),
        )


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Chunks of one length on their way, B of their P pairs of channels with sound.

    Attributes:
        silent: (chunks, P, 2): which channels are.
        sounding: (chunks, P): which pairs have sound on one side at least, B in all.
        is_stereo: (B,): whether the two channels differ.
        found: Of the B that are not silent on both sides, in their order; None if all are.
    """

    chunks: list[Chunk]
    silent: NDArray[np.bool_]
    sounding: NDArray[np.bool_]
    is_stereo: NDArray[np.bool_]
    found: _Estimates | None


class _Run:
    """One song on its way through a separator."""

    def __init__(self, separator: Separator, sample_rate: int, n_channels: int) -> None:
        self.n_channels = n_channels
        self.n_in = 0
        self.n_out = 0
        self._separator = separator
        self._layout = separator._layout
        model_rate = separator.transform.sample_rate
        n_pairs = -(-n_channels // 2)
        n_tracks = len(self._layout.tracks)
        self._to_model: Resampler | None = None
        self._from_model: Resampler | None = None
        if sample_rate != model_rate:
            self._to_model = Resampler(sample_rate, model_rate, 2 * n_pairs)
            self._from_model = Resampler(model_rate, sample_rate, 2 * n_pairs * n_tracks)
        self._source = SampleQueue((n_channels,))
        self._chunker = Chunker(separator.plan, (n_pairs, 2))
        self._joined = OverlapAdd(separator.plan, (n_pairs, n_tracks, 2))
        self._waiting: list[tuple[Chunk, Float]] = []
        self._n_parallel = min(network.n_parallel for network in separator._networks)
        # Results are taken in the order of the chunks, so that nothing depends on which is done first.
        self._estimated: deque[Future[list[_Group]]] = deque()
        self._rendered: deque[Future[list[tuple[Chunk, Float]]]] = deque()
        # Of each pair of channels, over all chunks so far.
        self._covariances: dict[int, Float] = {}
        self._pool = ThreadPoolExecutor(self._n_parallel) if self._n_parallel > 1 else None

    def push(self, block: Float) -> Iterator[dict[str, Float]]:
        self.n_in += block.shape[1]
        self._source.push(block)
        pairs = _to_pairs(block)
        if self._to_model is not None:
            pairs = self._to_model.push(pairs)
        for item in self._chunker.push(pairs):
            self._waiting.append(item)
            if len(self._waiting) >= self._separator._batch_size:
                self._start()
                # One more than are worked on, so that no thread waits while a result is written.
                if len(self._estimated) > self._n_parallel:
                    self._go_on()
                if len(self._rendered) > 1:  # what is rendered began before what is estimated
                    yield self._emit(self._finish())

    def flush(self) -> Iterator[dict[str, Float]]:
        """All that is left."""
        n_pairs = -(-self.n_channels // 2)
        if self._to_model is not None:
            empty = np.zeros((n_pairs, 2, 0), np.float32)
            self._waiting += self._chunker.push(self._to_model.push(empty, last=True))
        for item in self._chunker.flush():
            self._waiting.append(item)
            self._start()
        while self._estimated:
            self._go_on()
        while self._rendered:
            yield self._emit(self._finish())
        yield self._emit(np.zeros((n_pairs, len(self._layout.tracks), 2, 0), np.float32), last=True)

    def close(self) -> None:
        """Wait for what is being worked on, whose results nobody wants any more, and begin nothing else."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self) -> None:
        """Begin to work on the waiting chunks."""
        waiting, self._waiting = self._waiting, []
        self._estimated.append(self._submit(self._estimate, waiting))

    def _go_on(self) -> None:
        """Go on with the oldest estimates: what comes before them in the song is known by now."""
        groups = self._estimated.popleft().result()
        self._rendered.append(self._submit(self._render, groups, [self._accumulate(group) for group in groups]))

    def _finish(self) -> Float:
        """Samples that are done with the oldest chunks (P, K, 2, n), at the model's rate."""
        found = self._rendered.popleft().result()
        return np.concatenate([self._joined.add(chunk, tracks) for chunk, tracks in found], axis=-1)

    def _submit(self, work: Callable[..., Result], *arguments: Any) -> Future[Result]:
        if self._pool is not None:
            return self._pool.submit(work, *arguments)
        done: Future[Result] = Future()
        done.set_result(work(*arguments))
        return done

    def _estimate(self, waiting: list[tuple[Chunk, Float]]) -> list[_Group]:
        """Run the networks on chunks."""
        # The last chunk may be shorter than the rest.
        by_length: dict[int, list[tuple[Chunk, Float]]] = {}
        for chunk, audio in waiting:
            by_length.setdefault(chunk.n_frames, []).append((chunk, audio))
        groups = []
        for members in by_length.values():
            audio = np.stack([audio for _, audio in members])  # (chunks, P, 2, n)
            silent = np.abs(audio).max(axis=3) < _SILENCE  # (chunks, P, 2)
            sounding = ~silent.all(axis=2)
            if silent.any():
                # What is on one side only is heard as mono is, which is what networks know.
                audio = np.where(silent[..., None], audio[:, :, ::-1], audio)
            groups.append(
                _Group(
                    chunks=[chunk for chunk, _ in members],
                    silent=silent,
                    sounding=sounding,
                    # Where both sides are the same they say nothing about where a stem is.
                    is_stereo=(audio[:, :, 0] != audio[:, :, 1]).any(axis=2)[sounding],
                    found=self._separator._estimate_in_memory(audio[sounding]) if sounding.any() else None,
                )
            )
        return groups

    def _accumulate(self, group: _Group) -> Float:
        """(B, S, 4, F) to filter each chunk and pair that sounds with: zeros for those not to be filtered."""
        if group.found is None:
            return np.zeros((0, 0, 4, 0), np.float32)
        covariances = np.zeros_like(group.found.covariances)
        for index, (_, pair) in enumerate(np.argwhere(group.sounding)):
            if group.is_stereo[index]:
                own = group.found.covariances[index]
                earlier = self._covariances.get(pair)
                covariances[index] = own if earlier is None else own + _MEMORY * earlier
                self._covariances[pair] = covariances[index]
        return covariances

    def _render(self, groups: list[_Group], covariances: list[Float]) -> list[tuple[Chunk, Float]]:
        """Tracks (P, K, 2, core) of each chunk."""
        done: list[tuple[Chunk, Float]] = []
        for group, of_group in zip(groups, covariances, strict=True):
            n_tracks = len(self._layout.tracks)
            core = self._separator.plan.core_of(group.chunks[0].n_frames)
            tracks = np.zeros((*group.silent.shape[:2], n_tracks, 2, core), np.float32)
            if group.found is not None:
                first = group.chunks[int(np.argwhere(group.sounding)[0, 0])]
                tracks[group.sounding] = self._separator._render(group.found, of_group, max(first.start, 0))
                tracks.swapaxes(2, 3)[group.silent] = 0
            done += zip(group.chunks, tracks, strict=True)
        return done

    def _emit(self, tracks: Float, *, last: bool = False) -> dict[str, Float]:
        """Tracks (P, K, 2, n) at the model's rate -> stems (C, m) at the source's."""
        if self._from_model is not None:
            tracks = self._from_model.push(tracks, last=last)
        n_left = len(self._source)
        n_tracks = tracks.shape[-1]
        n_out = n_left if last else min(n_tracks, n_left)
        if n_tracks < n_out:  # the way there and back may round the length
            tracks = np.pad(tracks, ((0, 0), (0, 0), (0, 0), (0, n_out - n_tracks)))
        channels = _from_pairs(tracks[..., :n_out], self.n_channels)  # (K, C, m)
        self.n_out += n_out
        source = self._source.pop(n_out)
        stems = {}
        for name in self._layout.outputs:
            if name in self._layout.direct:
                stems[name] = np.ascontiguousarray(channels[self._layout.direct[name]])
            else:
                stems[name] = source - channels.sum(axis=0)
        return stems


def _from_other_side(network: Network, packed: Float) -> Float:
    """(B, 2C, T, F) -> (B, S, 2C, T, F): what a network gives for the song whose sides are swapped, swapped back."""
    half = packed.shape[1] // 2
    return np.roll(network(np.roll(packed, half, axis=1)), half, axis=2)


def _mean(estimates: list[Float]) -> Float:
    """Of what is given for one stem, by several networks or on both sides. Errors differ: the mean has less of them."""
    if len(estimates) == 1:
        return estimates[0]
    return functools.reduce(np.add, estimates) * np.float32(1 / len(estimates))


def _widened(packed: Float, n_bins: int) -> Float:
    """(..., F) -> (..., n_bins): nothing above."""
    n_more = n_bins - packed.shape[-1]
    return np.pad(packed, [(0, 0)] * (packed.ndim - 1) + [(0, n_more)]) if n_more else packed


def _to_pairs(block: Float) -> Float:
    """(C, N) -> (P, 2, N): neighbouring channels together; one that is left over, or mono, stands on both sides."""
    if block.shape[0] % 2:
        block = np.concatenate([block, block[-1:]])
    return block.reshape(block.shape[0] // 2, 2, block.shape[1])


def _from_pairs(tracks: Float, n_channels: int) -> Float:
    """(P, K, 2, N) -> (K, C, N), the inverse of `_to_pairs`."""
    n_pairs, n_tracks, _, n_samples = tracks.shape
    channels = tracks.transpose(1, 0, 2, 3).reshape(n_tracks, 2 * n_pairs, n_samples)
    if n_channels % 2:
        channels[:, -2] = channels[:, -2:].mean(axis=1)
    return channels[:, :n_channels]


def _check_form(audio: NDArray[np.floating], what: str) -> None:
    if not isinstance(audio, np.ndarray):
        raise AudioError(f"{what} is a {type(audio).__name__}: give a numpy array, (channels, samples)")
    if audio.ndim != 2 or not 1 <= audio.shape[0] <= MAX_CHANNELS:
        transposed = audio.ndim == 2 and 1 <= audio.shape[1] <= MAX_CHANNELS
        hint = "; is it (samples, channels)? Transpose it" if transposed else ""
        raise AudioError(f"{what} has the shape {audio.shape}: give (channels, samples){hint}")
    if not np.issubdtype(audio.dtype, np.floating):
        raise AudioError(f"{what} holds {audio.dtype}: give floating point samples with full scale at 1")


def _check_samples(block: Float, position: int, sample_rate: int) -> None:
    finite = np.isfinite(block)
    if not finite.all():
        at = position + int(np.argmin(finite.all(axis=0)))
        raise AudioError(
            f"sample {at} is not a finite number (NaN or infinite, at {at / sample_rate:.3f} s): repair the source"
        )


def _db(amplitude: float) -> float:
    return float(20 * np.log10(max(amplitude, 1e-12)))
