"""Fake models and audio files for the tests: small enough that separating a song takes milliseconds."""

from __future__ import annotations

import json
import os
import signal
import sys
import types
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnx
import pytest
import soundfile
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper

from dttnet.config import NetworkCard, Transform
from dttnet.runtime.onnx import METADATA_KEY

GAINS = {"vocals": 0.5, "drums": 0.3, "bass": 0.1, "other": 0.05}
"""A four-stem model whose bare estimates do not add up to the mixture."""


def gain_model(
    folder: Path,
    gains: Mapping[str, float] = GAINS,
    *,
    name: str = "network",
    nan: bool = False,
    sample_rate: int = 44100,
    n_fft: int = 512,
    hop: int = 128,
    n_bins: int = 200,
    n_frames: int = 64,
    frame_multiple: int = 1,
) -> Path:
    """Write `folder`/`name`.onnx, a network whose stems are its input spectrum times a number each; return the file.

    By default it sees the lowest 200 of 257 bins, 17.2 kHz at 44.1 kHz. With `nan`, all it gives is NaN.
    """
    card = NetworkCard(
        stems=tuple(gains),
        transform=Transform(sample_rate=sample_rate, n_fft=n_fft, hop=hop, n_bins=n_bins),
        n_frames=n_frames,
        frame_multiple=frame_multiple,
        licence="Apache-2.0",
        training_data="none",
    )
    factors = np.array([np.nan if nan else gain for gain in gains.values()], np.float32)
    constants = [
        onnx.numpy_helper.from_array(np.array([1], np.int64), "axis"),
        onnx.numpy_helper.from_array(factors.reshape(1, -1, 1, 1, 1), "gains"),
    ]
    nodes = [
        helper.make_node("Unsqueeze", ["mixture", "axis"], ["unsqueezed"]),
        helper.make_node("Mul", ["unsqueezed", "gains"], ["stems"]),
    ]
    mixture = helper.make_tensor_value_info("mixture", TensorProto.FLOAT, ["B", 4, "T", n_bins])
    stems = helper.make_tensor_value_info("stems", TensorProto.FLOAT, ["B", len(gains), 4, "T", n_bins])
    model = helper.make_model(
        helper.make_graph(nodes, "gains", [mixture], [stems], constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    helper.set_model_props(model, {METADATA_KEY: json.dumps(card.to_dict())})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    return path


def identity_model(
    folder: Path,
    stems: Sequence[str] = ("vocals",),
    *,
    name: str = "network",
    sample_rate: int = 44100,
    n_fft: int = 512,
    hop: int = 128,
    n_bins: int = 200,
    n_frames: int = 64,
    frame_multiple: int = 1,
) -> Path:
    """A network whose every stem is its input spectrum; see `gain_model`."""
    return gain_model(
        folder,
        dict.fromkeys(stems, 1.0),
        name=name,
        sample_rate=sample_rate,
        n_fft=n_fft,
        hop=hop,
        n_bins=n_bins,
        n_frames=n_frames,
        frame_multiple=frame_multiple,
    )


def noise(n_samples: int, n_channels: int = 2, *, peak: float = 0.5, seed: int = 0) -> NDArray[np.float64]:
    """White noise (N, C), so with content at all frequencies, whose highest absolute sample is `peak`."""
    samples = np.random.default_rng(seed).uniform(-1, 1, (n_samples, n_channels))
    return samples * (peak / np.abs(samples).max()) if n_samples else samples


def read(path: Path) -> tuple[NDArray[np.float64], int]:
    """Samples (N, C) and the sample rate of a file, not by way of dttnet."""
    return soundfile.read(path, dtype="float64", always_2d=True)


def write_sources(root: Path, uses: Iterable[str]) -> None:
    """A list of sources for `dttnet.songs`: one for each use, in a folder of that name."""
    entry = "- {{id: {use}, folder: {use}, use: {use}, title: t, author: a, url: u, licence: CC0-1.0}}\n"
    (root / "sources.yaml").write_text("".join(entry.format(use=use) for use in uses))


def write_av(path: Path, samples: NDArray[np.float64], rate: int, codec: str, *, picture: bool = False) -> None:
    """A file that FFmpeg encodes from (N, 1, 2 or 8), with a picture track before the sound if asked."""
    layout = {1: "mono", 2: "stereo", 8: "7.1"}[samples.shape[1]]
    with av.open(str(path), "w") as container:
        if picture:
            video = container.add_stream("mpeg4", rate=25)
            video.width = video.height = 32
            video.pix_fmt = "yuv420p"
        stream = container.add_stream(codec, rate=rate, layout=layout)
        if picture:
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            container.mux([*video.encode(frame), *video.encode(None)])
        values = np.rint(samples * 32768).clip(-32768, 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(values.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = rate
        frame.time_base = Fraction(1, rate)
        frame.pts = 0
        container.mux([*stream.encode(frame), *stream.encode(None)])


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_interrupts() -> None:
    """A shell without job control starts what runs in the background deaf to Ctrl-C, and children inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def four_stems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a `gain_model` with vocals, drums, bass and other."""
    return gain_model(tmp_path_factory.mktemp("models") / "four", name="four")


@pytest.fixture(scope="session")
def one_stem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an `identity_model` with only vocals."""
    return identity_model(tmp_path_factory.mktemp("models") / "one", name="one")


@pytest.fixture
def make_audio(tmp_path: Path) -> Callable[..., Path]:
    """make_audio("song.wav", samples (N, C), rate, format=..., subtype=...): a file in the test's folder."""

    def make(
        name: str,
        samples: ArrayLike | None = None,
        rate: int = 44100,
        *,
        subtype: str | None = None,
        format: str | None = None,  # noqa: A002  # soundfile's word
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if format is None:
            format = {"opus": "OGG", "aif": "AIFF"}.get(path.suffix[1:], path.suffix[1:]).upper()  # noqa: A001  # as above
        if subtype is None and path.suffix == ".opus":
            subtype = "OPUS"
        values = np.asarray(noise(4410) if samples is None else samples)
        channels = 1 if values.ndim == 1 else values.shape[1]
        # As bytes, or soundfile refuses names that are no text.
        with soundfile.SoundFile(os.fsencode(path), "w", rate, channels, subtype, format=format) as file:
            # libsndfile's Vorbis encoder keeps all samples of a call on the stack.
            for start in range(0, len(values), 4096):
                file.write(values[start : start + 4096])
        return path

    return make


@pytest.fixture(scope="session")
def museval() -> Any:
    """The package that the field measures with."""
    with pytest.MonkeyPatch.context() as patch:
        # museval imports musdb for its data set, and that stops where there is no ffmpeg program. No test needs either.
        patch.setitem(sys.modules, "musdb", types.ModuleType("musdb"))
        with warnings.catch_warnings():
            # Of its dependencies, which are not ours to keep up to date.
            warnings.simplefilter("ignore", DeprecationWarning)
            import museval
    return museval
