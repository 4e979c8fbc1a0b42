"""Where the chunks of a track lie, and how their outputs are joined. The only place with chunk arithmetic.

A network sees T frames at a time. The inverse transform of T frames gives (T - 1) * hop samples, of which the outer
n_fft / 2 on both sides are covered by fewer frames than the rest: they are dropped, and what is left is the chunk's
`core`. Cores start every `step` samples and overlap by core - step samples, joined by a linear cross-fade whose weights
sum to one everywhere. All frames of a chunk see the real neighbours of the chunk; zeros stand only before the start
and after the end of the track.

    track      0 ----------------------------------------------------- N
    input   [ half |  half |        core 0       |  half |  half ]
                           [ half |  half |      core 1        |  half |  half ]
    output                 |<----- step ---->|<- fade ->|

half = n_fft / 2. The outer halves are context for the outer frames; the inner halves are dropped from the output.

Shapes: ... any leading axes, N samples. Everything is counted in samples at the model's rate, in integers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dttnet.errors import UsageError

Float = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """One chunk: `start` is the position of its core in the track, `is_last` that no other follows."""

    start: int
    n_frames: int
    is_last: bool


@dataclass(frozen=True, kw_only=True)
class ChunkPlan:
    """The chunks of a track of any length.

    Attributes:
        n_fft, hop: Of the transform.
        n_frames: Frames per chunk.
        frame_multiple: What the number of frames must be a multiple of; the last chunk is shortened to what is needed.
        overlap: Share of a core that the next core repeats, 0 to 0.9.
        shorten_last: Whether the last chunk may have fewer frames.
    """

    n_fft: int
    hop: int
    n_frames: int
    frame_multiple: int = 1
    overlap: float = 0.1
    shorten_last: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.overlap <= 0.9:
            raise UsageError(f"overlap is {self.overlap}: give a number from 0 to 0.9")
        if self.n_frames % self.frame_multiple:
            raise UsageError(f"a chunk has {self.n_frames} frames: give a multiple of {self.frame_multiple}")
        if self.core < self.hop:
            smallest = _round_up(self.n_fft // self.hop + 2, self.frame_multiple)
            raise UsageError(f"a chunk has {self.n_frames} frames: give at least {smallest}")

    @property
    def half(self) -> int:
        return self.n_fft // 2

    @property
    def core(self) -> int:
        """Samples a whole chunk contributes."""
        return self.core_of(self.n_frames)

    def core_of(self, n_frames: int) -> int:
        return (n_frames - 1) * self.hop - self.n_fft

    @property
    def step(self) -> int:
        """Distance of two cores. A multiple of hop, so that the frames of overlapping chunks are the same frames."""
        return max(self.hop, int(self.core * (1 - self.overlap)) // self.hop * self.hop)

    def chunk(self, index: int, n_samples: int | None = None) -> Chunk | None:
        """The chunk with this index of a track of `n_samples` (None: it has not ended yet); None if there is none."""
        start = index * self.step
        if n_samples is None:
            return Chunk(start=start, n_frames=self.n_frames, is_last=False)
        if n_samples == 0 or (index > 0 and start - self.step + self.core >= n_samples):
            return None
        is_last = start + self.core >= n_samples
        n_frames = self.n_frames
        if is_last and self.shorten_last:
            needed = -(-(n_samples - start + self.n_fft) // self.hop) + 1
            n_frames = min(n_frames, _round_up(needed, self.frame_multiple))
        return Chunk(start=start, n_frames=n_frames, is_last=is_last)

    def chunks(self, n_samples: int) -> Iterator[Chunk]:
        """All chunks of a track of `n_samples`."""
        index = 0
        while (chunk := self.chunk(index, n_samples)) is not None:
            yield chunk
            index += 1

    def n_input(self, chunk: Chunk) -> int:
        """Samples a chunk reads, from `chunk.start - n_fft` on: the core with n_fft of context on both sides."""
        return self.core_of(chunk.n_frames) + 2 * self.n_fft

    def weights(self, chunk: Chunk) -> Float:
        """Weights of a chunk's core before they are divided by their sum: linear ramps where others overlap."""
        core = self.core_of(chunk.n_frames)
        fade = min(self.core - self.step, self.core // 2)
        weights = np.ones(core, np.float32)
        if fade:
            ramp = ((np.arange(min(fade, core)) + 0.5) / fade).astype(np.float32)
            if chunk.start > 0:
                weights[: len(ramp)] *= ramp
            if not chunk.is_last:
                weights[core - len(ramp) :] *= ramp[::-1]
        return weights


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


class SampleQueue:
    """First in, first out, on the last axis. Pushing costs nothing; reading joins what was pushed."""

    def __init__(self, leading_shape: tuple[int, ...]) -> None:
        self._blocks: deque[Float] = deque()
        self._n_samples = 0
        self._nothing = np.zeros((*leading_shape, 0), np.float32)

    def __len__(self) -> int:
        return self._n_samples

    def push(self, block: Float) -> None:
        """Append `block` (..., N). It is kept, not copied: the caller must not write to it afterwards."""
        if block.shape[-1]:
            self._blocks.append(block)
            self._n_samples += block.shape[-1]

    def peek(self, n_samples: int) -> Float:
        """The next `n_samples`, which must be there. They stay in the queue."""
        if not n_samples:
            return self._nothing
        if len(self._blocks) > 1 and self._blocks[0].shape[-1] < n_samples:
            joined = np.concatenate(list(self._blocks), axis=-1)
            self._blocks = deque([joined])
        return self._blocks[0][..., :n_samples]

    def drop(self, n_samples: int) -> None:
        """Forget the next `n_samples`, which must be there."""
        self._n_samples -= n_samples
        while n_samples:
            block = self._blocks.popleft()
            if block.shape[-1] > n_samples:
                self._blocks.appendleft(block[..., n_samples:])
            n_samples -= min(n_samples, block.shape[-1])

    def pop(self, n_samples: int) -> Float:
        """The next `n_samples`, which must be there, taken out."""
        samples = self.peek(n_samples)
        self.drop(n_samples)
        return samples


class Chunker:
    """Cuts a track that comes in blocks of any size into the inputs of its chunks."""

    def __init__(self, plan: ChunkPlan, leading_shape: tuple[int, ...]) -> None:
        self.plan = plan
        self.n_samples = 0
        self._leading_shape = leading_shape
        self._queue = SampleQueue(leading_shape)
        self._queue.push(self._zeros(plan.n_fft))
        self._index = 0

    def push(self, block: Float) -> Iterator[tuple[Chunk, Float]]:
        """Append `block` (..., N); yield (chunk, its input (..., n_input)) for the chunks that are complete."""
        self._queue.push(block)
        self.n_samples += block.shape[-1]
        while True:
            chunk = self.plan.chunk(self._index)
            # One sample more than it reads shows that this chunk is not the last one (or has its full length).
            if chunk is None or len(self._queue) <= self.plan.n_input(chunk):
                return
            yield chunk, self._next(chunk)

    def flush(self) -> Iterator[tuple[Chunk, Float]]:
        """Yield the chunks that are left, with zeros after the end of the track."""
        while (chunk := self.plan.chunk(self._index, self.n_samples)) is not None:
            missing = self.plan.n_input(chunk) - len(self._queue)
            if missing > 0:
                self._queue.push(self._zeros(missing))
            yield chunk, self._next(chunk)

    def _next(self, chunk: Chunk) -> Float:
        samples = self._queue.peek(self.plan.n_input(chunk))
        self._index += 1
        if not chunk.is_last:
            self._queue.drop(self.plan.step)
        return samples

    def _zeros(self, n_samples: int) -> Float:
        return np.zeros((*self._leading_shape, n_samples), np.float32)


class OverlapAdd:
    """Joins the cores of consecutive chunks. Holds one core, whatever the length of the track."""

    def __init__(self, plan: ChunkPlan, leading_shape: tuple[int, ...]) -> None:
        self.plan = plan
        self._sum = np.zeros((*leading_shape, plan.core), np.float32)
        self._weight = np.zeros(plan.core, np.float32)

    def add(self, chunk: Chunk, core: Float) -> Float:
        """Add a chunk's core (..., core); return the samples that no later chunk reaches.

        The last chunk gives all that is left, at most up to the end of its core: beyond the end of the track.
        """
        weights = self.plan.weights(chunk)
        n_core = len(weights)
        self._sum[..., :n_core] += core * weights
        self._weight[:n_core] += weights
        n_done = n_core if chunk.is_last else self.plan.step
        done = self._sum[..., :n_done] / self._weight[:n_done]
        self._sum = np.roll(self._sum, -n_done, axis=-1)
        self._sum[..., self.plan.core - n_done :] = 0
        self._weight = np.roll(self._weight, -n_done)
        self._weight[self.plan.core - n_done :] = 0
        return done
