"""Audio files and sample rates. The only module that knows file formats.

Shapes: C channels, N samples. Audio is (C, N) float32, full scale is 1.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import io
import math
import os
import re
import shutil
import signal
import stat
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, Literal, Protocol, Self

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from dttnet.errors import AudioError, MissingExtraError, UsageError
from dttnet.files import whole_file

Float = NDArray[np.float32]

BLOCK = 1 << 18
"""Samples per channel that are decoded or encoded at a time."""

MIN_RATE_HZ, MAX_RATE_HZ = 8000, 192000

# What people keep music in that libsndfile does not read: by name only to choose files of a folder.
_SNDFILE_SUFFIXES = frozenset(
    f".{name}" for name in "wav wave flac mp3 mp2 ogg oga opus aiff aif aifc au snd caf w64 rf64 bwf".split(" ")
)
_PYAV_SUFFIXES = frozenset(
    f".{name}"
    for name in "m4a m4b aac wma ac3 dts ape wv alac mp4 m4v mkv mka webm mov avi wmv 3gp ts mpg mpeg".split(" ")
)
AUDIO_SUFFIXES = _PYAV_SUFFIXES | _SNDFILE_SUFFIXES

# What programs that write to a pipe, and recorders, put in the place of a size that they do not know.
_NO_SIZE = (0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF - 36, 0xFFFFFFFF)
# What libsndfile's log says of a file that ends early.
_TRUNCATED = (
    re.compile(
        rf"^\s*(data|SSND|Data Size|riff)\s*: (?!({'|'.join(map(str, _NO_SIZE))}) )\d+ \(should be", re.MULTILINE
    ),
    re.compile(r"does not match value from 'ds64' chunk"),
    re.compile(r"Last page lacks an end-of-stream bit"),
)
# FFmpeg's names of the containers whose headers say how long they are.
_HEADERS_WITH_LENGTH = frozenset({"matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "asf"})
# libsndfile's count is the highest integer where the header does not say, as in FLAC that was written to a pipe.
_UNKNOWN_LENGTH = 1 << 62
_LARGE_HEADER = 1 << 12
"""Bytes: a file without a sample that is larger than this has samples that its header does not know."""
_MP3_FRAMES = 1 << 12
"""Bytes: a few frames at least."""
_STEP = 4096
"""Samples per channel in one call of libsndfile."""

# Which channel of WAV and FLAC each of Vorbis and Opus is, by their number: centre second, bass last (RFC 7845, section
# 5.1.1.2). libsndfile gives and takes them as they lie in the file.
_VORBIS_ORDER = {
    3: (0, 2, 1),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 4, 5, 3),
    7: (0, 2, 1, 5, 6, 4, 3),
    8: (0, 2, 1, 6, 7, 4, 5, 3),
}


@dataclass(frozen=True, kw_only=True)
class AudioInfo:
    """What the header of a file says.

    Attributes:
        n_samples: Expected samples per channel, None if the header does not say; the true number shows in reading.
        subtype: Of the samples in libsndfile's words ("PCM_16", "FLOAT", ...), "" if not from libsndfile.
    """

    sample_rate: int
    n_channels: int
    n_samples: int | None
    subtype: str


class AudioReader(Protocol):
    """An open audio file."""

    info: AudioInfo
    warnings: list[str]

    def blocks(self) -> Iterator[Float]:
        """The samples in order, (C, N) float32 at a time."""
        ...


@contextlib.contextmanager
def open_audio(path: Path) -> Iterator[AudioReader]:
    """Open an audio file, or the first sound track of a video, for reading.

    Raises:
        AudioError: It is not there, may not be read, is not audio, or breaks while it is read.
        MissingExtraError: It looks like something that only the extra `formats` reads.
    """
    with contextlib.ExitStack() as stack:
        reader = _open_reader(path, stack)
        rate = reader.info.sample_rate
        if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
            raise AudioError(
                f"{path}: its sample rate is {rate} Hz; convert it to one from {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz"
            )
        yield reader


def read_info(path: Path) -> AudioInfo:
    """What the header of a file says; the samples are counted by decoding where the header does not know them exactly.

    Raises:
        AudioError, MissingExtraError: See `open_audio`.
    """
    with open_audio(path) as reader:
        if reader.info.n_samples is not None and isinstance(reader, _SndfileReader):
            return reader.info
        return replace(reader.info, n_samples=sum(block.shape[1] for block in reader.blocks()))


def read_excerpt(path: Path, *, start: int = 0, n_samples: int | None = None) -> Float:
    """(C, N) float32 from sample `start` on: at most `n_samples`, less where the file ends, None for all of them.

    It is what decoding the whole file gives there (Opus: to 1e-7). WAV, FLAC, Ogg and their like decode only what is
    asked for. Seeking is not exact to the sample in MP3 and in what only FFmpeg reads: they are decoded from the
    start.

    Raises:
        AudioError, MissingExtraError: See `open_audio`.
    """
    with open_audio(path) as reader:
        if isinstance(reader, _SndfileReader) and reader.can_seek:
            return reader.read(start, n_samples)
        end = None if n_samples is None else start + n_samples
        parts = [np.zeros((reader.info.n_channels, 0), np.float32)]
        n_done = 0
        for block in reader.blocks():
            parts.append(block[:, max(start - n_done, 0) : None if end is None else end - n_done])
            n_done += block.shape[1]
            if end is not None and n_done >= end:
                break
    return np.concatenate(parts, axis=1)


def _open_reader(path: Path, stack: contextlib.ExitStack) -> AudioReader:
    try:
        # What has been read of a pipe to see what it is would be lost.
        if stat.S_ISFIFO(path.stat().st_mode):
            raise AudioError(f"{path}: a pipe, not a file: save what comes through it first")
        # Only to tell what is wrong before libsndfile says "System error".
        with path.open("rb") as file:
            if not file.read(1):
                raise AudioError(f"{path}: the file is empty (0 bytes)")
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({_reason(error)})") from error
    left_out = why = ""
    try:
        file_ = stack.enter_context(_Sequential(_system_name(path)))
        left_out = _what_is_left_out(path, file_)
        if not left_out:
            if file_.format == "MP3" and not _mp3_says_its_length(path):
                pipe = stack.enter_context(_piped(path))
                return _SndfileReader(path, stack.enter_context(_Sequential(pipe, closefd=False)), pipe=pipe)
            return _SndfileReader(path, file_)
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: of .raw python-soundfile wants to be told all
        why = _words(error)
    try:
        av = importlib.import_module("av")
    except ImportError as error:
        if left_out:
            raise MissingExtraError(f"{path}: reading {left_out}", "formats") from error
        if path.suffix.lower() in _PYAV_SUFFIXES:
            raise MissingExtraError(f"{path}: reading {path.suffix.lower()} files", "formats") from error
        raise AudioError(f"{path}: not an audio file that libsndfile can read ({why})") from error
    try:
        # Absolute, or FFmpeg takes what stands before a colon for a protocol.
        container = stack.enter_context(av.open(os.fspath(path.absolute()), metadata_errors="replace"))
    except av.FFmpegError as error:
        raise AudioError(f"{path}: not an audio or video file ({error.strerror})") from error
    if not container.streams.audio:
        raise AudioError(f"{path}: has no sound track")
    context = container.streams.audio[0].codec_context
    if context is None:
        raise AudioError(f"{path}: FFmpeg has no decoder for its sound track")
    if context.format is None:
        raise AudioError(f"{path}: not an audio or video file (it looks like one, but holds no samples)")
    reader = _PyAVReader(path, av, container)
    if left_out == _UNFINISHED:
        reader.warnings.append(f"{path}: its header was never completed: the stems have what FFmpeg finds in it")
    if "malformed" in why:
        reader.warnings.append(f"{path}: damaged ({why}): the stems have what FFmpeg can read of it")
    return reader


_JOINED = "all of several files that were joined to one"
_UNFINISHED = "a file whose header was never completed"


def _what_is_left_out(path: Path, file: _Sequential) -> str:
    """What of a file libsndfile leaves out without a word, as the purpose of something that reads it; or nothing."""
    if file.format in ("WAV", "WAVEX", "AIFF", "RF64") and not file.frames and path.stat().st_size > _LARGE_HEADER:
        return _UNFINISHED
    is_joined = _ogg_is_joined(path) if file.format == "OGG" else file.format == "MP3" and _mp3_is_joined(path)
    return _JOINED if is_joined else ""


def _ogg_is_joined(path: Path) -> bool:
    """Whether another stream begins after the first ones have (RFC 3533, section 4): recorded radio, for example."""
    with path.open("rb", buffering=1 << 16) as file:  # many pages at a time: every excerpt that is read asks
        is_under_way = False
        while len(head := file.read(27)) == 27 and head[:4] == b"OggS":
            begins = bool(head[5] & 2)
            if begins and is_under_way:
                return True
            is_under_way |= not begins
            file.seek(sum(file.read(head[26])), os.SEEK_CUR)
    return False


def _mp3_is_joined(path: Path) -> bool:
    """Whether an MP3 goes on behind the bytes that its header counts, with a tag or a frame."""
    start, stop, head = _mp3_beginning(path)
    at = max(head.find(b"Xing"), head.find(b"Info"))
    # Four bytes of flags, four of the number of frames if the first flag says so, and four of that of bytes.
    if at < 0 or len(head) < at + 16 or head[at + 7] & 3 != 3:
        return False
    n_bytes = int.from_bytes(head[at + 12 : at + 16], "big")
    end = start + n_bytes
    if not n_bytes or stop - end < _MP3_FRAMES:  # not filled in; or it does not count itself
        return False
    with path.open("rb") as file:
        file.seek(end)
        following = file.read(10)
    # Eleven bits that are set, layer III, and no bit rate or sample rate that there is not.
    is_frame = following[0] == 0xFF and following[1] & 0xE6 == 0xE2
    return following[:3] == b"ID3" or (is_frame and following[2] >> 4 != 15 and following[2] & 0x0C != 0x0C)


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]  # it has no types
    """A file that is only read from its start to its end.

    python-soundfile seeks to where it is after each read of a seekable file. In MP3 of variable bit rate that place is
    a guess, which puts thousands of wrong samples after each block; in FLAC of unknown length it is an error.
    """

    def seekable(self) -> bool:
        return False


def _between_tags(path: Path) -> tuple[int, int]:
    """The bytes of a file between its tags: ID3v2, and zeros that some put behind it, before them; APEv2, and after it
    ID3v1, behind them."""
    with path.open("rb") as file:

        def read(at: int, n_bytes: int) -> bytes:
            file.seek(max(at, 0))
            return file.read(n_bytes)

        start, stop = 0, file.seek(0, os.SEEK_END)
        head = read(0, 10)
        if head[:3] == b"ID3" and len(head) == 10:
            for byte in head[6:]:  # seven bits each
                start = start << 7 | byte & 0x7F
            start += 10 + (10 if head[5] & 0x10 else 0)
        while (block := read(start, 4096)) and not block.strip(b"\0"):
            start += len(block)
        start += len(block) - len(block.lstrip(b"\0"))
        if read(stop - 128, 3) == b"TAG":
            stop -= 128
        foot = read(stop - 32, 32)
        if foot[:8] == b"APETAGEX":
            stop -= int.from_bytes(foot[12:16], "little") + (32 if foot[23] & 0x80 else 0)
    return start, max(start, stop)


def _mp3_says_its_length(path: Path) -> bool:
    """Whether the first frame of an MP3 is one of the headers that encoders write."""
    _, _, head = _mp3_beginning(path)
    return any(mark in head for mark in (b"Xing", b"Info", b"VBRI"))


def _mp3_beginning(path: Path) -> tuple[int, int, bytes]:
    """Where the frames of an MP3 begin and end, and the bytes in which a header would be."""
    start, stop = _between_tags(path)
    with path.open("rb") as file:
        file.seek(start)
        return start, stop, file.read(512)


@contextlib.contextmanager
def _piped(path: Path) -> Iterator[int]:
    """A file descriptor that gives an MP3 without its tags and cannot seek.

    Without a header, libsndfile guesses the length of an MP3 from its size and first frame, and stops there; where it
    cannot seek it reads to the end.
    """
    _close_pipes_in_forks()
    read_end, write_end = os.pipe()
    _open_pipes.update((read_end, write_end))

    def feed() -> None:
        if hasattr(signal, "pthread_sigmask"):  # or it would end a program that does not ignore it, as Python does
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        # The reader may have had enough before the end.
        with contextlib.suppress(BrokenPipeError), os.fdopen(write_end, "wb") as pipe:
            try:
                start, stop = _between_tags(path)
                with path.open("rb") as file:
                    file.seek(start)
                    while block := file.read(min(BLOCK, stop - file.tell())):
                        pipe.write(block)
            finally:
                # Before it is closed: the next file that is opened may get its number.
                _open_pipes.discard(write_end)

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    try:
        yield read_end
    finally:
        _open_pipes.discard(read_end)
        os.close(read_end)  # a feeder that is still writing ends here
        feeder.join()


_open_pipes: set[int] = set()


@functools.cache
def _close_pipes_in_forks() -> None:
    """A process that is forked while a pipe is open must not keep its ends, or the reader here never sees the end."""

    def close() -> None:
        while _open_pipes:
            os.close(_open_pipes.pop())

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=close)


class _SndfileReader:
    """Everything libsndfile decodes.

    Args:
        pipe: What `file` reads from, if that is a pipe.
    """

    def __init__(self, path: Path, file: _Sequential, *, pipe: int | None = None) -> None:
        self._path = path
        self._file = file
        self._pipe = pipe
        self._n_pending = 0
        # The decoder of FLAC takes a tag behind the last sample for a damaged frame: it is not asked to go there.
        is_tagged = file.format == "FLAC" and _between_tags(path)[1] < path.stat().st_size
        self._n_left = file.frames if is_tagged and file.frames < _UNKNOWN_LENGTH else None
        order = _VORBIS_ORDER.get(file.channels) if file.subtype in ("VORBIS", "OPUS") else None
        self._order = slice(None) if order is None else np.argsort(order)
        self.info = AudioInfo(
            sample_rate=file.samplerate,
            n_channels=file.channels,
            n_samples=file.frames if file.frames < _UNKNOWN_LENGTH else None,
            subtype=file.subtype,
        )
        self.warnings: list[str] = []
        # libsndfile takes what is there of a file that promises more, and says so only in its log.
        if any(pattern.search(file.extra_info) for pattern in _TRUNCATED):
            self.warnings.append(f"{path}: truncated: it ends before its audio does; the stems have what is there")

    @property
    def can_seek(self) -> bool:
        """Whether seeking is exact to the sample in a file like this."""
        return self._file.format != "MP3" and self.info.n_samples is not None

    def read(self, start: int, n_samples: int | None) -> Float:
        """(C, N) from anywhere, in one call: at most `n_samples`, less where the file ends."""
        start = min(start, self._file.frames)
        n_left = self._file.frames - start
        try:
            self._file.seek(start)
            samples = self._file.read(
                n_left if n_samples is None else min(n_samples, n_left), dtype="float32", always_2d=True
            )
        except soundfile.SoundFileError as error:
            at_s = start / self.info.sample_rate
            raise AudioError(f"{self._path}: damaged after {at_s:.1f} s or later ({_words(error)})") from error
        return np.ascontiguousarray(samples.T[self._order])

    def blocks(self) -> Iterator[Float]:
        n_read = 0
        try:
            while len(block := self._read()):
                n_read += len(block)
                yield np.ascontiguousarray(block.T[self._order])
        except soundfile.SoundFileError as error:
            n_read += self._n_pending
            at_s = n_read / self.info.sample_rate
            raise AudioError(f"{self._path}: damaged after {at_s:.1f} s ({_words(error)})") from error
        if n_read < (self.info.n_samples or 0):
            self.warnings.append(
                f"{self._path}: truncated: {n_read} of {self.info.n_samples} samples are there; "
                "the stems have what is there"
            )
        # libsndfile takes a place where it finds no further frame of an MP3 for the end.
        if self._pipe is not None and os.read(self._pipe, 1):
            self.warnings.append(
                f"{self._path}: damaged after {n_read / self.info.sample_rate:.1f} s: the stems have what is before"
            )

    def _read(self) -> NDArray[np.float32]:
        """The next (N, C), at most BLOCK, in steps that tell where in a damaged file reading stopped."""
        parts = []
        self._n_pending = 0
        while self._n_pending < BLOCK:
            n_step = _STEP if self._n_left is None else min(_STEP, self._n_left)
            part = self._file.read(n_step, dtype="float32", always_2d=True)
            if self._n_left is not None:
                self._n_left -= len(part)
            if not len(part):
                break
            parts.append(part)
            self._n_pending += len(part)
        return np.concatenate(parts) if parts else part


class _PyAVReader:
    """Everything FFmpeg decodes. PyAV has no useful types for us: it is looked up when it is needed."""

    def __init__(self, path: Path, av: Any, container: Any) -> None:
        self._path = path
        self._av = av
        self._container = container
        self._stream = container.streams.audio[0]
        context = self._stream.codec_context
        self.info = AudioInfo(
            sample_rate=context.sample_rate,
            n_channels=context.layout.nb_channels,
            n_samples=round(container.duration * context.sample_rate / 1e6) if container.duration else None,
            subtype={"flt": "FLOAT", "fltp": "", "dbl": "DOUBLE"}.get(context.format.name, ""),
        )
        self.warnings: list[str] = []

    def blocks(self) -> Iterator[Float]:
        context = self._stream.codec_context
        # Interleaved: of planar frames of eight channels PyAV 18 takes what lies behind them for a ninth.
        to_float = self._av.AudioResampler(format="flt", layout=context.layout, rate=context.sample_rate)
        pending: list[Float] = []
        n_pending = 0
        n_read = 0
        try:
            for frame in self._container.decode(self._stream):
                if (frame.sample_rate, frame.layout.nb_channels) != (self.info.sample_rate, self.info.n_channels):
                    raise ValueError("sample rate or channels change on the way")
                for converted in to_float.resample(frame):
                    pending.append(self._deinterleave(converted))
                    n_pending += pending[-1].shape[1]
                    n_read += pending[-1].shape[1]
                if n_pending >= BLOCK:
                    yield np.concatenate(pending, axis=1)
                    pending, n_pending = [], 0
            pending += [self._deinterleave(converted) for converted in to_float.resample(None)]
        except (self._av.FFmpegError, ValueError) as error:
            at_s = n_read / self.info.sample_rate
            reason = getattr(error, "strerror", None) or error
            raise AudioError(f"{self._path}: damaged after {at_s:.1f} s ({reason})") from error
        if pending:
            yield np.concatenate(pending, axis=1)
        if self._is_short(n_read):
            self.warnings.append(
                f"{self._path}: truncated: it ends before its audio does; the stems have what is there"
            )

    def _deinterleave(self, frame: Any) -> Float:
        return np.ascontiguousarray(frame.to_ndarray().reshape(-1, self.info.n_channels).T)

    def _is_short(self, n_read: int) -> bool:
        """Whether there are fewer samples than the header says. Delays and padding are below a quarter of a second."""
        if self._container.format.name not in _HEADERS_WITH_LENGTH:
            return False  # FFmpeg guesses from size and bit rate
        if self._stream.duration is not None:
            duration_s = float(self._stream.duration * self._stream.time_base)
        elif self._container.duration is not None and len(self._container.streams) == 1:
            duration_s = self._container.duration / self._av.time_base
        else:
            return False
        return n_read < (duration_s - 0.25) * self.info.sample_rate


class Resampler:
    """Streaming sample rate conversion of several channels at once (soxr, no delay).

    Args:
        n_channels: Channels, counted over all leading axes.
        quality: In soxr's words: "VHQ" leaves errors below those of 24 bits, "HQ" of 20 bits in 2/3 of the time.
    """

    def __init__(self, from_hz: int, to_hz: int, n_channels: int, *, quality: Literal["VHQ", "HQ"] = "VHQ") -> None:
        self._stream = soxr.ResampleStream(from_hz, to_hz, n_channels, dtype="float32", quality=quality)

    def push(self, block: Float, *, last: bool = False) -> Float:
        """(..., N) -> (..., N'): what can be said of the output so far; `last` brings the rest."""
        leading = block.shape[:-1]
        # Sizes are spelled out: -1 means nothing to an empty array.
        interleaved = np.ascontiguousarray(block.reshape(math.prod(leading), block.shape[-1]).T)
        out = self._stream.resample_chunk(interleaved, last=last)
        return np.ascontiguousarray(out.T).reshape(*leading, len(out))


def resample(audio: Float, from_hz: int, to_hz: int, *, quality: Literal["VHQ", "HQ", "MQ"] = "VHQ") -> Float:
    """(C, N) -> (C, N'), all at once: what a `Resampler` gives, in less than half of its time.

    Args:
        quality: As of a `Resampler`; "MQ" leaves errors below those of 16 bits, in half of the time of "HQ".
    """
    return np.ascontiguousarray(soxr.resample(np.ascontiguousarray(audio).T, from_hz, to_hz, quality=quality).T)


def change_tempo(audio: Float, tempo: float, *, sample_rate: int) -> Float:
    """(C, N), C 1 or 2, played `tempo` times as fast (0.5 to 100) at the same pitch: (C, about N / tempo).

    FFmpeg's `atempo`: pieces of some 40 ms are laid over each other where they fit best (WSOLA), which is fast; sounds
    come some 20 ms early, onsets may double at low tempos.

    Raises:
        MissingExtraError: PyAV is not installed.
    """
    try:
        av = importlib.import_module("av")
    except ImportError as error:
        raise MissingExtraError("Changing the tempo with FFmpeg", "formats") from error
    layout = "mono" if len(audio) == 1 else "stereo"
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_abuffer(format="flt", sample_rate=sample_rate, layout=layout, time_base=Fraction(1, sample_rate)),
        graph.add("atempo", repr(tempo)),
        graph.add("abuffersink"),
    ).configure()
    interleaved = np.ascontiguousarray(audio.T, np.float32).reshape(1, audio.size)
    frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=layout)
    frame.sample_rate = sample_rate
    graph.push(frame)
    graph.push(None)
    parts = [np.zeros((len(audio), 0), np.float32)]
    with contextlib.suppress(av.error.EOFError):  # how the graph says that it has no more
        while True:
            parts.append(graph.pull().to_ndarray().reshape(-1, len(audio)).T)
    return np.concatenate(parts, axis=1)


Format = Literal["wav", "flac", "mp3", "ogg", "opus"]
Depth = Literal["int24", "float32"]

_MP3_BITRATES_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_OPUS_RATES_HZ = (8000, 12000, 16000, 24000, 48000)
_MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_MAX_CHANNELS = {"wav": 1024, "flac": 8, "mp3": 2, "ogg": 255, "opus": 255}
# libsndfile's scale from best (0) to smallest (1).
_LOSSY_LEVEL = {"ogg": 0.3, "opus": 0.65}
_RF64_LIMIT = (1 << 32) - (1 << 16)


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How stems are written.

    Files of all formats have exactly as many samples as were given: MP3, Ogg and Opus carry what to cut off.

    Attributes:
        format: File format, and the files' suffix.
        depth: Of WAV and FLAC; None is the source's or better. FLAC has 24 bits at most.
        mp3_bitrate_kbps: Constant bit rate of MP3; what MP3 has at most is 160 below 32 kHz and 64 below 16 kHz.
    """

    format: Format = "wav"
    depth: Depth | None = None
    mp3_bitrate_kbps: int = 320

    def __post_init__(self) -> None:
        if self.format not in _MAX_CHANNELS:
            raise UsageError(f"format {self.format!r}: give one of {', '.join(_MAX_CHANNELS)}")
        if self.depth is not None and self.format not in ("wav", "flac"):
            raise UsageError(f"{self.format} files have no bit depth: leave out {self.depth}")
        if self.depth == "float32" and self.format == "flac":
            raise UsageError("flac files hold no floating point samples: use wav, or int24")
        if self.mp3_bitrate_kbps not in _MP3_BITRATES_KBPS:
            raise UsageError(f"MP3 has no bit rate of {self.mp3_bitrate_kbps} kbit/s: give one of {_MP3_BITRATES_KBPS}")

    @property
    def is_lossy(self) -> bool:
        return self.format in ("mp3", "ogg", "opus")

    def subtype(self, source: AudioInfo) -> str:
        """libsndfile's name of the samples: the source's depth or better, at least 24 bits."""
        if self.is_lossy:
            return {"mp3": "MPEG_LAYER_III", "ogg": "VORBIS", "opus": "OPUS"}[self.format]
        if self.depth is not None or self.format == "flac":
            return "FLOAT" if self.depth == "float32" else "PCM_24"
        return source.subtype if source.subtype in ("FLOAT", "DOUBLE", "PCM_32") else "PCM_24"

    def sample_rate(self, source: AudioInfo) -> int:
        """The source's, or the next higher one (else the highest) that the format has."""
        rates = {"mp3": _MP3_RATES_HZ, "opus": _OPUS_RATES_HZ}.get(self.format)
        if rates is None or source.sample_rate in rates:
            return source.sample_rate
        return min((rate for rate in rates if rate > source.sample_rate), default=rates[-1])


@dataclass(kw_only=True)
class WriteReport:
    """What became of the stems of one song.

    Attributes:
        gain: Common gain of all files; below 1 only where an integer or lossy format would have clipped.
        peak: Highest absolute sample of all stems, before the gain.
        rounding: Sum over the stems of the largest error that integer samples make; None for lossy formats.
    """

    gain: float = 1.0
    peak: float = 0.0
    rounding: float | None = 0.0
    warnings: list[str] = field(default_factory=list)


class StemWriter:
    """Writes the stems of one song: all files appear, whole, in `finish`, or none does.

    Samples are kept in nameless temporary files beside the outputs until the end, because only then it is known
    whether an integer format would clip, and how large the files are.

    Use as a context manager; leaving it without `finish` removes everything.
    """

    def __init__(self, paths: Mapping[str, Path], encoding: Encoding, source: AudioInfo) -> None:
        self._paths = dict(paths)
        self._encoding = encoding
        self._source = source
        self._subtype = encoding.subtype(source)
        self._peak = 0.0
        self._n_samples = 0
        self._stack = contextlib.ExitStack()
        self._spools: dict[str, IO[bytes]] = {}
        self._new_folders: list[Path] = []
        if source.n_channels > _MAX_CHANNELS[encoding.format]:
            raise AudioError(
                f"{next(iter(self._paths.values()))}: {encoding.format} holds at most "
                f"{_MAX_CHANNELS[encoding.format]} channels, the source has {source.n_channels}: write wav"
            )
        if encoding.format == "flac" and source.sample_rate > 0xFFFF and source.sample_rate % 10:
            raise AudioError(
                f"{next(iter(self._paths.values()))}: flac has no sample rate of {source.sample_rate} Hz: write wav"
            )

    def __enter__(self) -> Self:
        try:
            for stem, path in self._paths.items():
                with _naming(path):
                    self._make_folder(path.parent)
                    if path.is_dir():
                        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                    spool = tempfile.TemporaryFile(dir=path.parent, prefix=".dttnet-")
                    self._spools[stem] = self._stack.enter_context(spool)
        except BaseException:  # Ctrl-C too leaves nothing behind
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # closing flushes: a full disk has been reported by then
            self._stack.close()
        for folder in reversed(self._new_folders):
            with contextlib.suppress(OSError):  # not empty: all went well
                folder.rmdir()

    def _make_folder(self, folder: Path) -> None:
        self._new_folders += [place for place in (*reversed(folder.parents), folder) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, stems: Mapping[str, Float]) -> None:
        """Append (C, N) to every stem."""
        for stem, spool in self._spools.items():
            samples = stems[stem]
            if samples.size:
                self._peak = max(self._peak, float(np.abs(samples).max()))
            with _naming(self._paths[stem]):
                spool.write(np.ascontiguousarray(samples.T, np.float32).data)
        self._n_samples += next(iter(stems.values())).shape[-1]

    def finish(self) -> WriteReport:
        """Encode all stems and let the files appear."""
        report = WriteReport(peak=self._peak, rounding=None if self._encoding.is_lossy else 0.0)
        # The highest 24-bit sample is one step below 1, but for that step alone nothing is lowered.
        if self._subtype not in ("FLOAT", "DOUBLE") and self._peak > 1:
            report.gain = (1 - 2.0**-23) / self._peak
            report.warnings.append(
                f"all stems lowered by {-20 * np.log10(report.gain):.3g} dB, or the loudest would have clipped "
                "(float32 files keep the level)"
            )
        rate = self._encoding.sample_rate(self._source)
        if rate != self._source.sample_rate:
            report.warnings.append(
                f"{self._encoding.format} has no sample rate of {self._source.sample_rate} Hz: written at {rate} Hz"
            )
        partials: dict[str, Path] = {}
        try:
            for number, (stem, path) in enumerate(self._paths.items()):
                # Not made of the names of output or stem, which may be as long as a name can be.
                partial = path.with_name(f".dttnet-{os.getpid()}-{id(self):x}-{number}.partial")
                partials[stem] = partial
                with _naming(path):
                    # It looks empty until now: another song that failed may have removed it.
                    path.parent.mkdir(parents=True, exist_ok=True)
                    error = self._encode(self._spools[stem], partial, rate, report.gain)
                    self._spools[stem].close()
                if report.rounding is not None:
                    report.rounding += error
            for stem, path in self._paths.items():
                with _naming(path):
                    partials[stem].replace(path)
        finally:
            for partial in partials.values():
                with contextlib.suppress(OSError):  # the error that led here says more
                    partial.unlink(missing_ok=True)
        return report

    def _encode(self, spool: IO[bytes], partial: Path, rate: int, gain: float) -> float:
        """Write one file; return the largest rounding error."""
        n_channels = self._source.n_channels
        resampler = Resampler(self._source.sample_rate, rate, n_channels) if rate != self._source.sample_rate else None
        error = 0.0
        checksum = 0
        spool.seek(0)
        with _Sink(partial) as sink, self._open(sink, rate) as file:
            n_left = self._n_samples
            while n_left:
                n_block = min(BLOCK, n_left)
                n_left -= n_block
                raw = spool.read(4 * n_channels * n_block)
                samples = np.frombuffer(raw, np.float32).reshape(-1, n_channels)
                if gain != 1:
                    samples = samples * np.float32(gain)
                if resampler is not None:
                    samples = np.ascontiguousarray(resampler.push(samples.T, last=n_left == 0).T)
                checksum = zlib.crc32(samples.data, checksum)
                if self._subtype in ("PCM_24", "PCM_32"):
                    error = max(error, _write_integers(file, samples, 24 if self._subtype == "PCM_24" else 32))
                else:
                    if self._subtype in ("VORBIS", "OPUS") and n_channels in _VORBIS_ORDER:
                        samples = samples[:, _VORBIS_ORDER[n_channels]]
                    # The Vorbis encoder of libsndfile keeps a whole call on the stack.
                    for start in range(0, len(samples), _STEP):
                        file.write(samples[start : start + _STEP])
        if self._subtype in ("FLOAT", "DOUBLE"):
            _forget_time(partial)
        elif self._subtype in ("VORBIS", "OPUS"):
            _number_stream(partial, checksum)
        return error

    def _open(self, sink: _Sink, rate: int) -> soundfile.SoundFile:
        encoding = self._encoding
        container = encoding.format.upper()
        options: dict[str, Any] = {}
        if encoding.format == "wav":
            width = {"PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}[self._subtype]
            if self._n_samples * self._source.n_channels * width > _RF64_LIMIT:
                container = "RF64"
        elif encoding.format == "mp3":
            options = {"bitrate_mode": "CONSTANT", "compression_level": _mp3_level(encoding.mp3_bitrate_kbps, rate)}
        elif encoding.is_lossy:
            options = {"compression_level": _LOSSY_LEVEL[encoding.format]}
            container = "OGG"
        return soundfile.SoundFile(
            sink,
            "w",
            samplerate=rate,
            channels=self._source.n_channels,
            format=container,
            subtype=self._subtype,
            **options,
        )


class _Sink(io.FileIO):
    """A file that libsndfile writes to. What it does not pass on when a disk is full, of MP3, Ogg and Opus nothing at
    all, is raised on leaving."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self._error: OSError | None = None

    def write(self, data: Any) -> int:
        n_written = 0
        try:
            while n_written < len(data):
                n_written += super().write(data[n_written:]) or 0
        except OSError as error:
            self._error = self._error or error
        return n_written

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)  # type: ignore[arg-type]  # as Python gives them
        if self._error is not None:
            raise self._error


def _forget_time(path: Path) -> None:
    """Zero the time of writing in a WAV of floating point samples, so that the same samples are the same file.

    libsndfile notes it with the peak of each channel: the chunk's name and size, a version, the time.
    """
    with path.open("r+b") as file:
        at = file.read(128).find(b"PEAK")
        if at >= 0:
            file.seek(at + 12)
            file.write(bytes(4))


def _number_stream(path: Path, number: int) -> None:
    """Give the pages of an Ogg file another stream number, so that the same samples are the same file.

    libsndfile draws one. The checksum of a page is CRC-32 with the highest bit first (RFC 3533, section 6), where zlib
    takes the lowest first and inverts what goes in and comes out.
    """
    mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
    with path.open("r+b") as file:
        while head := file.read(27):
            segments = file.read(head[26])
            body = file.read(sum(segments))
            head = head[:14] + number.to_bytes(4, "little") + head[18:22] + bytes(4) + head[26:]
            page = head + segments + body
            checksum = zlib.crc32(page.translate(mirrored), 0xFFFFFFFF) ^ 0xFFFFFFFF
            file.seek(-len(page), os.SEEK_CUR)
            file.write(page[:22] + checksum.to_bytes(4, "little").translate(mirrored)[::-1] + page[26:])


def write_audio(path: Path, audio: Float, *, sample_rate: int) -> None:
    """Write (C, N) as 16 bits, WAV or FLAC by the suffix. What is above full scale is clipped.

    Raises:
        AudioError: It cannot be written; the message names the path, and nothing is left there.
    """
    with (
        _naming(path),
        whole_file(path) as partial,
        soundfile.SoundFile(
            _system_name(partial), "w", sample_rate, len(audio), subtype="PCM_16", format=path.suffix[1:].upper()
        ) as file,
    ):
        _write_integers(file, audio.T, 16)


def _write_integers(file: soundfile.SoundFile, samples: Float, bits: int) -> float:
    """Write float samples (N, C) as integers; return the largest rounding error.

    libsndfile scales floats by 2^(bits-1) - 1 and reads them back by 2^(bits-1); whole integers keep the level exact.
    """
    scale = 2.0 ** (bits - 1)
    rounded = np.clip(np.rint(samples.astype(np.float64) * scale), -scale, scale - 1)
    file.write(rounded.astype(np.int32) << (32 - bits))
    return float(np.abs(rounded / scale - samples).max()) if samples.size else 0.0


def _mp3_level(bitrate_kbps: int, rate: int) -> float:
    """libsndfile's compression level for a constant bit rate: linear between the rates that MPEG 1, 2 or 2.5 has."""
    highest, lowest = (320, 32) if rate >= 32000 else (160, 8) if rate >= 16000 else (64, 8)
    # At exactly 1 libsndfile refuses; it rounds bit rates down to those there are.
    return min((highest - min(max(bitrate_kbps, lowest), highest)) / (highest - lowest), 0.9999)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn what the system or libsndfile says about an output into an error that names it."""
    try:
        yield
    except OSError as error:
        raise AudioError(f"{path}: cannot be written ({_reason(error)})") from error
    except (soundfile.SoundFileError, AssertionError) as error:
        # python-soundfile asserts that libsndfile took all samples: it does not when the disk is full.
        reason = _words(error) or "no space left?"
        with contextlib.suppress(OSError):  # without the number the message will do
            reason += f"; {shutil.disk_usage(path.parent).free / 1e6:.0f} MB are free"
        raise AudioError(f"{path}: cannot be written ({reason})") from error


def _system_name(path: Path) -> str | bytes:
    """For libsndfile: python-soundfile encodes strictly, and takes "-" for standard input."""
    name = os.fspath(path.absolute())
    return name if sys.platform == "win32" else os.fsencode(name)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _words(error: Exception) -> str:
    """The last part of libsndfile's message, without the path and the full stop."""
    return str(error).rpartition(": ")[2].rstrip(".")
