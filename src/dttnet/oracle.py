"""What a perfect mask could do: the estimates of the ideal ratio mask, block by block.

Shapes: S stems, N samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dttnet.chunks import Chunk, Chunker, ChunkPlan, OverlapAdd, SampleQueue
from dttnet.config import Transform
from dttnet.stft import istft, stft

Float = NDArray[np.float32]
Stems = dict[str, Float]

_N_FFT = 2048
_HOP = 512
_N_FRAMES = 512
# Below 16-bit noise: where nothing sounds, nothing is divided.
_EPSILON = 1e-10


class IdealRatioMask:
    """The mixture times |stem| / sum of all |stems|, in each bin of a spectrogram of 2048 samples, every 512.

    The mask of Stöter, Liutkus & Ito, "The 2018 Signal Separation Evaluation Campaign" (IRM1). What the mixture holds
    beside the stems given counts as one more stem.

    Args:
        stems: Those that will be pushed, all from one track.
    """

    def __init__(self, stems: Sequence[str]) -> None:
        self._stems = tuple(stems)
        self._transform = Transform(n_fft=_N_FFT, hop=_HOP, n_bins=_N_FFT // 2 + 1)
        plan = ChunkPlan(n_fft=_N_FFT, hop=_HOP, n_frames=_N_FRAMES, overlap=0)
        self._chunker = Chunker(plan, (len(stems) + 1, 2))
        self._joined = OverlapAdd(plan, (len(stems), 2))
        self._references = SampleQueue((len(stems), 2))

    def push(self, stems: Mapping[str, Float], mixture: Float) -> Iterator[tuple[Stems, Stems]]:
        """Append a block: stem to (2, N), and the mixture (2, N). Yields what is done: references and estimates."""
        references = np.stack([stems[stem] for stem in self._stems])
        self._references.push(references)
        rest = mixture - references.sum(axis=0)
        yield from self._work(self._chunker.push(np.concatenate([references, rest[np.newaxis]])))

    def flush(self) -> Iterator[tuple[Stems, Stems]]:
        """All that is left."""
        yield from self._work(self._chunker.flush())

    def _work(self, chunks: Iterable[tuple[Chunk, Float]]) -> Iterator[tuple[Stems, Stems]]:
        half = _N_FFT // 2
        for chunk, audio in chunks:
            spectra = stft(audio, self._transform)  # (S + 1, 2, T, F)
            sizes = np.abs(spectra)
            estimates = spectra.sum(axis=0) * sizes[:-1] / (sizes.sum(axis=0) + _EPSILON)
            done = self._joined.add(chunk, istft(estimates, self._transform)[..., half:-half])
            n_done = min(done.shape[-1], len(self._references))
            yield self._named(self._references.pop(n_done)), self._named(done[..., :n_done])

    def _named(self, audio: Float) -> Stems:
        return dict(zip(self._stems, audio, strict=True))
