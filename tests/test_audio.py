"""Decoding and encoding: every format and depth, what is wrong with a file, and outputs that are whole or not there."""

from __future__ import annotations

import os
import pickle
import resource
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from conftest import noise, read, write_av
from dttnet import audio
from dttnet.audio import AudioInfo, Encoding, Resampler, StemWriter, open_audio, read_excerpt
from dttnet.errors import AudioError, MissingExtraError, UsageError

MakeAudio = Callable[..., Path]
FORMATS = ("wav", "flac", "mp3", "ogg", "opus")


def decode(path: Path) -> tuple[NDArray[np.float32], AudioInfo, list[str]]:
    """Samples (N, C), header and warnings."""
    with open_audio(path) as reader:
        blocks = [block.T for block in reader.blocks()]
        empty = np.zeros((0, reader.info.n_channels), np.float32)
        return np.concatenate([empty, *blocks]), reader.info, reader.warnings


def info(**changes: object) -> AudioInfo:
    return AudioInfo(**{"sample_rate": 44100, "n_channels": 2, "n_samples": None, "subtype": "PCM_16", **changes})


def encode(
    paths: dict[str, Path],
    stems: dict[str, NDArray[np.float64]],
    encoding: Encoding | None = None,
    source: AudioInfo | None = None,
) -> audio.WriteReport:
    with StemWriter(paths, encoding or Encoding(), source or info()) as writer:
        writer.write({stem: samples.T.astype(np.float32) for stem, samples in stems.items()})
        return writer.finish()


# Reading


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        *[("a.wav", subtype) for subtype in "PCM_U8 PCM_16 PCM_24 PCM_32 FLOAT DOUBLE ULAW ALAW IMA_ADPCM".split(" ")],
        *[("a.flac", subtype) for subtype in ("PCM_S8", "PCM_16", "PCM_24")],
        *[("a.aiff", subtype) for subtype in ("PCM_16", "PCM_24", "FLOAT")],
        *[("a.caf", subtype) for subtype in ("PCM_16", "FLOAT", "ALAC_24")],
        *[(f"a.{suffix}", "PCM_24") for suffix in ("au", "w64", "rf64")],
    ],
)
def test_every_sample_of_a_lossless_file_is_read(make_audio: MakeAudio, name: str, subtype: str) -> None:
    path = make_audio(name, noise(10007), 32000, subtype=subtype)
    samples, header, warnings = decode(path)
    expected, _ = read(path)
    np.testing.assert_array_equal(samples, expected.astype(np.float32))
    # IMA ADPCM comes in blocks of its own length.
    assert len(samples) == 10007 or subtype == "IMA_ADPCM"
    assert header == info(sample_rate=32000, n_samples=len(samples), subtype=subtype)
    assert warnings == []


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.opus"])
@pytest.mark.parametrize("n_samples", [1, 2, 441, 48000, 48001])
def test_lossy_files_are_read_with_the_length_they_were_made_with(
    make_audio: MakeAudio, name: str, n_samples: int
) -> None:
    samples, header, warnings = decode(make_audio(name, noise(n_samples), 48000))
    assert (samples.shape, header.sample_rate, warnings) == ((n_samples, 2), 48000, [])


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "opus"])
def test_lossy_files_are_read_in_place_also_where_blocks_meet(make_audio: MakeAudio, suffix: str) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(audio.BLOCK + 48000) / 48000)[:, None]
    # The MP3 is of variable bit rate, in which seeking is a guess.
    samples, _, _ = decode(make_audio(f"a.{suffix}", tone, 48000))
    # A codec's error on a tone is below; a delay of a single sample would make 0.029.
    assert np.abs(samples - tone)[1000:-1000].max() < 0.02


def without_header(path: Path) -> bytes:
    """An MP3 without its first frame, which holds its length."""
    data = path.read_bytes()
    bit_rates = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
    sample_rates = (44100, 48000, 32000)
    padding = data[2] >> 1 & 1
    return data[144000 * bit_rates[data[2] >> 4] // sample_rates[data[2] >> 2 & 3] + padding :]


ID3 = b"ID3\x04\x00\x00\x00\x01\x00\x00" + bytes(1 << 14)  # a tag of 16 KiB, as large as a small cover


@pytest.mark.parametrize("tag", [b"", ID3], ids=["no tag", "tag"])
def test_an_mp3_without_a_header_is_read_to_its_end(tmp_path: Path, tag: bytes) -> None:
    path = tmp_path / "a.mp3"
    # Loud, then nearly silent: the first frames say nothing of how many bytes the others take.
    samples = np.concatenate([noise(4 * 44100), noise(8 * 44100, peak=1e-4)])
    soundfile.write(path, samples, 44100, bitrate_mode="VARIABLE", compression_level=0.5)
    path.write_bytes(tag + without_header(path))
    read_samples, header, warnings = decode(path)
    # Without the header nothing says what of the first and last frames to cut off.
    assert len(samples) <= len(read_samples) <= len(samples) + 3 * 1152
    assert header.n_samples is None
    assert warnings == []


APE = b"cover art" * 500
APE += b"APETAGEX" + struct.pack("<IIII8x", 2000, len(APE) + 32, 1, 0)  # a footer, which counts itself, and no header


@pytest.mark.parametrize("tags", [b"TAG" + bytes(125), APE, APE + b"TAG" + bytes(125)], ids=["ID3v1", "APEv2", "both"])
def test_tags_behind_an_mp3_without_a_header_are_not_taken_for_sound(make_audio: MakeAudio, tags: bytes) -> None:
    path = make_audio("a.mp3", noise(5 * 44100), 44100)
    path.write_bytes(without_header(path))
    expected, _, _ = decode(path)
    path.write_bytes(path.read_bytes() + tags)
    samples, _, warnings = decode(path)
    np.testing.assert_array_equal(samples, expected)
    assert warnings == []


def test_an_mp3_without_a_header_that_is_not_read_on_after_damage_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    tone = 0.5 * np.sin(0.06 * np.arange(10 * 44100))
    soundfile.write(path, tone, 44100, bitrate_mode="CONSTANT", compression_level=0.5)
    data = without_header(path)
    path.write_bytes(data[: len(data) // 2] + bytes(100) + data[len(data) // 2 + 100 :])
    samples, _, warnings = decode(path)
    assert len(samples) < 6 * 44100  # mpg123 takes the place for the end
    (warning,) = warnings
    assert warning.startswith(f"{path}: damaged after {len(samples) / 44100:.1f} s")


def joined(make_audio: MakeAudio, suffix: str) -> tuple[Path, NDArray[np.float64]]:
    """A file of two that were joined as `cat` does, and the samples of both."""
    rate = 48000 if suffix == "opus" else 44100
    paths = [make_audio(f"{seed}.{suffix}", noise(3 * rate, seed=seed), rate) for seed in range(2)]
    samples = np.concatenate([decode(path)[0] for path in paths])
    path = paths[0].with_name(f"both.{suffix}")
    path.write_bytes(b"".join(one.read_bytes() for one in paths))
    return path, samples


@pytest.mark.parametrize("suffix", ["ogg", "opus", "mp3"])
def test_files_that_were_joined_to_one_are_read_to_the_end(make_audio: MakeAudio, suffix: str) -> None:
    path, expected = joined(make_audio, suffix)
    samples, _, warnings = decode(path)
    assert warnings == []
    # FFmpeg does not cut off what an encoder adds at the ends of the parts.
    n_more = len(samples) - len(expected)
    assert 0 <= n_more <= 3 * 2048
    n_first = len(expected) // 2 - 4096
    assert np.corrcoef(samples[:n_first, 0], expected[:n_first, 0])[0, 1] > 0.99
    shifts = range(n_more + 1)
    last = expected[-n_first:, 0]
    assert max(np.corrcoef(samples[len(samples) - n_first - k : len(samples) - k, 0], last)[0, 1] for k in shifts) > 0.9


@pytest.mark.parametrize("suffix", ["ogg", "opus", "mp3"])
def test_without_pyav_files_that_were_joined_are_an_error_not_half_of_them(
    make_audio: MakeAudio, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = joined(make_audio, suffix)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=rf"both\.{suffix}: reading all of several files that were joined"):
        decode(path)


def test_an_mp3_of_two_kinds_that_were_joined_is_an_error(make_audio: MakeAudio) -> None:
    first, second = make_audio("a.mp3", noise(3 * 44100), 44100), make_audio("b.mp3", noise(3 * 22050, 1), 22050)
    first.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(AudioError, match=r"a\.mp3: damaged after 3\.\d s \(sample rate or channels change"):
        decode(first)


@pytest.mark.parametrize("n_zeros", [1, 3000, 5000])
@pytest.mark.parametrize("tag", [b"", ID3], ids=["no tag", "tag"])
def test_zeros_before_an_mp3_hide_its_header_from_nobody(make_audio: MakeAudio, tag: bytes, n_zeros: int) -> None:
    path = make_audio("a.mp3", noise(3 * 44100), 44100)
    expected, _, _ = decode(path)
    path.write_bytes(tag + bytes(n_zeros) + path.read_bytes())
    samples, header, warnings = decode(path)
    np.testing.assert_array_equal(samples, expected)
    assert (header.n_samples, warnings) == (3 * 44100, [])


@pytest.mark.parametrize("n_bytes", [0, 10_000, 10**9])
def test_a_wrong_number_of_bytes_alone_makes_no_mp3_a_joined_one(make_audio: MakeAudio, n_bytes: int) -> None:
    path = make_audio("a.mp3", noise(3 * 44100), 44100)
    content = bytearray(path.read_bytes())
    at = max(content.find(mark, 0, 512) for mark in (b"Xing", b"Info"))
    content[at + 12 : at + 16] = struct.pack(">I", n_bytes)
    path.write_bytes(content)
    samples, header, warnings = decode(path)
    assert (len(samples), header.subtype, warnings) == (3 * 44100, "MPEG_LAYER_III", [])


@pytest.mark.parametrize("tags", [b"TAG" + bytes(125), APE, APE + b"TAG" + bytes(125)], ids=["ID3v1", "APEv2", "both"])
def test_tags_behind_a_flac_file_are_not_taken_for_damage(make_audio: MakeAudio, tags: bytes) -> None:
    path = make_audio("a.flac", noise(20000))
    expected, _, _ = decode(path)
    path.write_bytes(path.read_bytes() + tags)
    samples, _, warnings = decode(path)
    np.testing.assert_array_equal(samples, expected)
    assert warnings == []


def test_a_wav_whose_header_was_never_completed_is_read_with_a_warning(
    make_audio: MakeAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_audio("a.wav", noise(20000))
    expected, _, _ = decode(path)
    content = path.read_bytes()
    assert content[36:40] == b"data"
    path.write_bytes(content[:40] + bytes(4) + content[44:])
    samples, _, warnings = decode(path)
    np.testing.assert_array_equal(samples, expected)
    assert [warning.split(": ")[:2] for warning in warnings] == [[str(path), "its header was never completed"]]
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"a\.wav: reading a file whose header was never completed needs"):
        decode(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are none on Windows")
def test_a_pipe_is_refused_before_anything_is_read_of_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(AudioError, match=r"a\.wav: a pipe, not a file"):
        decode(tmp_path / "a.wav")


def test_leaving_an_mp3_without_a_header_early_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, noise(20 * 44100), 44100)
    path.write_bytes(without_header(path))
    for _ in range(20):
        with open_audio(path) as reader:
            next(reader.blocks())
    with path.open("rb") as file:  # no descriptor of another file was closed
        assert file.read(1) == b"\xff"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is none on Windows")
# From Python 3.12 on it warns of forks beside threads: hosts that do so all the same are what this is about.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_that_is_forked_meanwhile_does_not_keep_an_mp3_without_a_header_open(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, noise(20 * 44100), 44100)
    path.write_bytes(without_header(path))
    with open_audio(path) as reader:
        blocks = reader.blocks()
        next(blocks)
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
        try:
            began = time.monotonic()
            for _ in blocks:
                pass
            assert time.monotonic() - began < 30  # with the child's end open it takes as long as the child
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_long_files_come_in_blocks(make_audio: MakeAudio) -> None:
    path = make_audio("a.wav", noise(2 * audio.BLOCK + 1, 1), 8000, subtype="PCM_U8")
    with open_audio(path) as reader:
        assert [block.shape for block in reader.blocks()] == [(1, audio.BLOCK), (1, audio.BLOCK), (1, 1)]


@pytest.mark.parametrize("n_channels", [1, 2, 3, 6])
def test_all_channels_are_read(make_audio: MakeAudio, n_channels: int) -> None:
    samples, header, _ = decode(make_audio("a.wav", noise(100, n_channels)))
    assert samples.shape == (100, n_channels)
    assert header.n_channels == n_channels


@pytest.mark.parametrize("format_", ["ogg", "opus"])
@pytest.mark.parametrize("n_channels", [3, 4, 5, 6, 7, 8])
def test_vorbis_and_opus_have_the_channels_in_their_own_order(
    tmp_path: Path, format_: audio.Format, n_channels: int
) -> None:
    # A low tone each, which the bass channel has as well.
    tones = 0.3 * np.sin(2 * np.pi * np.outer(np.arange(48000) / 48000, 30 + 10 * np.arange(n_channels)))
    path = tmp_path / f"a.{format_}"
    encode({"x": path}, {"x": tones}, Encoding(format=format_), info(n_channels=n_channels, sample_rate=48000))
    samples, _, _ = decode(path)
    with av.open(str(path)) as container:  # gives them in the order of WAV
        interleaved = av.AudioResampler(format="flt")
        frames = [part.to_ndarray() for frame in container.decode(audio=0) for part in interleaved.resample(frame)]
    # Another tone in a channel's place would differ by up to 0.6.
    by_ffmpeg = np.concatenate(frames, axis=1).reshape(-1, n_channels)
    np.testing.assert_allclose(by_ffmpeg[5000:40000], tones[5000:40000], atol=0.1)
    np.testing.assert_allclose(samples[5000:40000], tones[5000:40000], atol=0.1)
    np.testing.assert_allclose(read_excerpt(path, start=5000, n_samples=50).T, samples[5000:5050], atol=1e-6)


def test_eight_channels_are_read_by_ffmpeg_too(tmp_path: Path) -> None:
    samples = np.rint(noise(30000, 8) * 32768) / 32768  # what 16 bits hold
    write_av(tmp_path / "a.mka", samples, 48000, "pcm_s16le")
    np.testing.assert_array_equal(decode(tmp_path / "a.mka")[0], samples.astype(np.float32))


@pytest.mark.parametrize("suffix", ["mka", "mkv"])
def test_a_file_of_ffmpeg_that_ends_early_is_read_with_a_warning(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    write_av(path, noise(5 * 44100), 44100, "aac")
    assert decode(path)[2] == []
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    samples, _, warnings = decode(path)
    assert 2 * 44100 < len(samples) < 4 * 44100
    assert [warning.split(": ")[:2] for warning in warnings] == [[str(path), "truncated"]]


def test_a_file_that_only_ffmpeg_still_reads_is_called_damaged(make_audio: MakeAudio) -> None:
    path = make_audio("a.caf", noise(44100))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    samples, _, (warning,) = decode(path)
    assert 0 < len(samples) < 44100
    assert warning.startswith(f"{path}: damaged (")


def test_the_suffix_raw_does_not_change_what_a_file_is(make_audio: MakeAudio) -> None:
    path = make_audio("a.wav", noise(1000))
    expected, _, _ = decode(path)
    np.testing.assert_array_equal(decode(path.rename(path.with_suffix(".raw")))[0], expected)


def test_a_sound_track_without_a_decoder_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    write_av(path, noise(4410), 44100, "alac")
    path.write_bytes(path.read_bytes().replace(b"alac", b"zzzz"))
    with pytest.raises(AudioError, match="no decoder for its sound track"), open_audio(path):
        pass


@pytest.mark.parametrize("rate", [8000, 192000])
def test_the_lowest_and_the_highest_sample_rate_are_read(make_audio: MakeAudio, rate: int) -> None:
    assert decode(make_audio("a.wav", rate=rate))[1].sample_rate == rate


@pytest.mark.parametrize("rate", [7999, 192001])
def test_sample_rates_beyond_are_an_error(make_audio: MakeAudio, rate: int) -> None:
    path = make_audio("a.wav", rate=rate)
    with pytest.raises(AudioError, match=f"a.wav: its sample rate is {rate} Hz"):
        decode(path)


@pytest.mark.parametrize("picture", [False, True])
def test_pyav_reads_every_sample_of_lossless_files(tmp_path: Path, picture: bool) -> None:
    path = tmp_path / ("a.mkv" if picture else "a.m4a")
    samples = np.rint(noise(300001) * 32768) / 32768  # what 16 bits hold
    write_av(path, samples, 48000, "alac", picture=picture)
    decoded, header, warnings = decode(path)
    np.testing.assert_array_equal(decoded, samples.astype(np.float32))
    assert (header.sample_rate, header.n_channels, warnings) == (48000, 2, [])
    # Containers count in coarser steps than samples: milliseconds, or frames of 4096.
    assert header.n_samples == pytest.approx(300001, abs=4096)


@pytest.mark.parametrize("n_samples", [441, 44100, 44101])
def test_pyav_reads_aac_in_place(tmp_path: Path, n_samples: int) -> None:
    tone = np.repeat(0.5 * np.sin(2 * np.pi * 440 * np.arange(n_samples) / 44100)[:, None], 2, axis=1)
    write_av(tmp_path / "a.m4a", tone, 44100, "aac")
    samples, _, _ = decode(tmp_path / "a.m4a")
    # The container of AAC may end with the codec's last frame of 1024 samples; it never begins with its delay.
    assert n_samples <= len(samples) < n_samples + 1024
    # As above: the codec's error stays below, a sample of delay would make 0.031.
    assert np.abs(samples[1000 : n_samples - 1000] - tone[1000:-1000]).max(initial=0) < 0.02


def test_a_file_whose_channels_change_on_the_way_is_an_error(tmp_path: Path) -> None:
    for layout in ("mono", "stereo"):
        write_av(tmp_path / f"{layout}.aac", noise(44100, 1 if layout == "mono" else 2), 44100, "aac")
    path = tmp_path / "both.aac"
    path.write_bytes((tmp_path / "stereo.aac").read_bytes() + (tmp_path / "mono.aac").read_bytes())
    with pytest.raises(AudioError, match=r"both\.aac: damaged after 1\.0 s \(sample rate or channels change"):
        decode(path)


def test_names_that_look_like_protocols_are_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_av(Path("plain.m4a"), noise(1000), 44100, "alac")
    Path("plain.m4a").rename("Artist: Song.m4a")
    assert len(decode(Path("Artist: Song.m4a"))[0]) == 1000


def test_without_pyav_an_m4a_gets_one_sentence_naming_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.m4a"
    write_av(path, noise(1000), 44100, "alac")
    monkeypatch.setitem(sys.modules, "av", None)  # as if it were not installed
    with pytest.raises(MissingExtraError) as caught:
        decode(path)
    assert str(caught.value) == (
        f'{path}: reading .m4a files needs an optional part of dttnet: pip install "dttnet[formats]"'
    )
    # Or a pool of processes whose worker raises it would break, or wait for ever.
    there = pickle.loads(pickle.dumps(caught.value))
    assert (type(there), str(there), there.extra) == (MissingExtraError, str(caught.value), "formats")


# Whether FFmpeg is asked too or not, what is wrong is said in the same manner.
@pytest.fixture(params=[False, True], ids=["with PyAV", "without PyAV"])
def _with_and_without_pyav(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param:
        monkeypatch.setitem(sys.modules, "av", None)


@pytest.mark.usefixtures("_with_and_without_pyav")
@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "txt"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"the file is empty \(0 bytes\)"),
        (np.random.default_rng(1).bytes(5000), "not an audio"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "not an audio"),
        (b"just words\n" * 10, "not an audio"),
    ],
    ids=["empty", "noise", "cut off in the header", "text"],
)
def test_what_is_not_audio_is_an_error_that_names_the_file(
    tmp_path: Path, content: bytes, reason: str, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=rf"a\.{suffix}: {reason}"):
        decode(path)


def test_a_file_that_is_not_there_and_a_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"nothing\.wav: cannot be read \(No such file or directory\)"):
        decode(tmp_path / "nothing.wav")
    with pytest.raises(AudioError, match=r"cannot be read \(Is a directory\)"):
        decode(tmp_path)


def test_a_video_without_sound_says_so(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(AudioError, match=r"a\.mp4: has no sound track"):
        decode(tmp_path / "a.mp4")


@pytest.mark.parametrize("suffix", ["wav", "aiff", "au", "w64", "rf64", "mp3", "ogg", "opus"])
def test_of_truncated_files_what_is_there_is_read_with_a_warning(make_audio: MakeAudio, suffix: str) -> None:
    path = make_audio(f"a.{suffix}", noise(200000), 48000)
    whole, _, _ = decode(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    samples, _, warnings = decode(path)
    assert 0.4 * len(whole) < len(samples) < 0.75 * len(whole)  # an Ogg page holds up to a second
    # What lossy codecs give where the file ends leans on what is missing.
    n_safe = len(samples) - 5000
    np.testing.assert_array_equal(samples[:n_safe], whole[:n_safe])
    assert [warning.split(": ")[:2] for warning in warnings] == [[str(path), "truncated"]]


def test_a_truncated_flac_file_is_an_error_that_says_where(make_audio: MakeAudio) -> None:
    path = make_audio("a.flac", noise(480000, 1), 48000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=r"a\.flac: damaged after [45]\.\d s \("):
        decode(path)


@pytest.mark.parametrize("size", [0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFDB, 0xFFFFFFFF])
def test_a_size_left_open_by_a_pipe_is_no_truncation(make_audio: MakeAudio, size: int) -> None:
    path = make_audio("a.wav", noise(1000))
    content = path.read_bytes()
    assert content[36:40] == b"data"
    path.write_bytes(content[:4] + struct.pack("<I", size) + content[8:40] + struct.pack("<I", size) + content[44:])
    samples, _, warnings = decode(path)
    assert (len(samples), warnings) == (1000, [])


def test_a_flac_file_that_was_written_to_a_pipe_is_read(make_audio: MakeAudio) -> None:
    path = make_audio("a.flac", noise(20000))
    expected, _, _ = decode(path)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the 36 bits of the number of samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    samples, header, warnings = decode(path)
    np.testing.assert_array_equal(samples, expected)
    assert (header.n_samples, warnings) == (None, [])


ODD_NAMES = [
    "with space.wav",
    "[brackets] {braces} (x) *?.wav",
    "😀 émoji ñ 日本.wav",
    "-dash.wav",
    "-",
    "per%20cent %03d.wav",
    'quote\'s "double".wav',
    "new\nline.wav",
    os.fsdecode(b"not utf-8 \xff.wav"),
    "no suffix",
    "x" * 251 + ".wav",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_read_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    samples = np.rint(noise(100) * 2**23) / 2**23
    encode({"vocals": Path(name)}, {"vocals": samples})
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    np.testing.assert_array_equal(decode(Path(name))[0], samples.astype(np.float32))


# Writing


@pytest.mark.parametrize(
    ("source", "encoding", "written"),
    [
        ("PCM_U8", Encoding(), "PCM_24"),
        ("PCM_16", Encoding(), "PCM_24"),
        ("PCM_24", Encoding(), "PCM_24"),
        ("PCM_32", Encoding(), "PCM_32"),
        ("FLOAT", Encoding(), "FLOAT"),
        ("DOUBLE", Encoding(), "DOUBLE"),
        ("VORBIS", Encoding(), "PCM_24"),
        ("", Encoding(), "PCM_24"),
        ("FLOAT", Encoding(depth="int24"), "PCM_24"),
        ("PCM_16", Encoding(depth="float32"), "FLOAT"),
        ("PCM_16", Encoding(format="flac"), "PCM_24"),
        ("FLOAT", Encoding(format="flac"), "PCM_24"),
        ("FLOAT", Encoding(format="flac", depth="int24"), "PCM_24"),
        ("PCM_16", Encoding(format="mp3"), "MPEG_LAYER_III"),
        ("PCM_16", Encoding(format="ogg"), "VORBIS"),
        ("PCM_16", Encoding(format="opus"), "OPUS"),
    ],
)
def test_depth_is_the_sources_or_better_unless_chosen(
    tmp_path: Path, source: str, encoding: Encoding, written: str
) -> None:
    path = tmp_path / "a"
    encode({"vocals": path}, {"vocals": noise(1000)}, encoding, info(subtype=source, sample_rate=48000))
    assert soundfile.info(path).subtype == written


@pytest.mark.parametrize(("subtype", "step"), [("PCM_16", 2.0**-23), ("PCM_32", 2.0**-31), ("FLOAT", 0.0)])
def test_written_samples_are_the_nearest_there_are(tmp_path: Path, subtype: str, step: float) -> None:
    path = tmp_path / "a.wav"
    samples = noise(10000).astype(np.float32).astype(np.float64)
    report = encode({"vocals": path}, {"vocals": samples}, source=info(subtype=subtype))
    written, rate = read(path)
    assert rate == 44100
    error = np.abs(written - samples).max()
    assert error <= step / 2
    assert report.rounding == error


def test_both_ends_of_full_scale_are_written_without_a_gain(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    report = encode({"vocals": path}, {"vocals": np.array([[-1.0, 1.0], [0.0, 2.0**-23]])})
    np.testing.assert_array_equal(read(path)[0], [[-1.0, 1 - 2.0**-23], [0.0, 2.0**-23]])
    assert (report.gain, report.warnings, report.rounding) == (1.0, [], 2.0**-23)


@pytest.mark.parametrize("encoding", [Encoding(), Encoding(format="flac"), Encoding(format="mp3")])
def test_one_gain_for_all_stems_where_one_would_clip(tmp_path: Path, encoding: Encoding) -> None:
    paths = {stem: tmp_path / stem for stem in ("vocals", "drums")}
    stems = {"vocals": noise(5000, peak=2.0), "drums": noise(5000, peak=0.1, seed=1)}
    report = encode(paths, stems, encoding)
    assert report.peak == pytest.approx(2, rel=1e-7)  # float32
    assert report.gain == pytest.approx(0.5, rel=1e-6)  # the highest 24-bit sample is a little less than 1
    assert report.warnings == [
        "all stems lowered by 6.02 dB, or the loudest would have clipped (float32 files keep the level)"
    ]
    if not encoding.is_lossy:
        for stem, path in paths.items():
            # Half a step of 24 bits, and float32 rounding of the gain.
            np.testing.assert_allclose(read(path)[0], stems[stem] * report.gain, rtol=0, atol=2.0**-23)


def test_float_files_keep_what_is_louder_than_full_scale(tmp_path: Path) -> None:
    samples = noise(5000, peak=3.0).astype(np.float32)
    report = encode({"vocals": tmp_path / "a.wav"}, {"vocals": samples}, Encoding(depth="float32"))
    np.testing.assert_array_equal(read(tmp_path / "a.wav")[0], samples)
    assert (report.gain, report.warnings, report.rounding) == (1.0, [], 0.0)


@pytest.mark.parametrize(("depth", "width"), [("int24", 3), ("float32", 4)])
def test_files_beyond_the_limit_are_rf64(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depth: audio.Depth, width: int
) -> None:
    assert audio._RF64_LIMIT < 2**32 - 1000  # a header has a hundred bytes
    samples = noise(1000).astype(np.float32)
    for limit, magic in ((1000 * 2 * width, b"RIFF"), (1000 * 2 * width - 1, b"RF64")):
        monkeypatch.setattr(audio, "_RF64_LIMIT", limit)
        encode({"vocals": tmp_path / "a.wav"}, {"vocals": samples}, Encoding(depth=depth))
        assert (tmp_path / "a.wav").read_bytes()[:4] == magic
        np.testing.assert_allclose(read(tmp_path / "a.wav")[0], samples, rtol=0, atol=2.0**-24)  # half a step


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("n_channels", [1, 2, 6])
def test_formats_hold_the_sources_channels_or_say_so(tmp_path: Path, format_: audio.Format, n_channels: int) -> None:
    path = tmp_path / "out" / f"a.{format_}"
    source = info(n_channels=n_channels, sample_rate=48000)
    if format_ == "mp3" and n_channels > 2:
        with pytest.raises(AudioError, match=r"a\.mp3: mp3 holds at most 2 channels, the source has 6: write wav"):
            encode({"vocals": path}, {"vocals": noise(5000, n_channels)}, Encoding(format=format_), source)
        assert list(tmp_path.iterdir()) == []
    else:
        encode({"vocals": path}, {"vocals": noise(5000, n_channels)}, Encoding(format=format_), source)
        assert read(path)[0].shape == (5000, n_channels)


@pytest.mark.parametrize("format_", ["mp3", "ogg", "opus"])
@pytest.mark.parametrize("n_samples", [1, 2, 441, 48001, 100000])
def test_lossy_files_have_the_exact_length_and_place(tmp_path: Path, format_: audio.Format, n_samples: int) -> None:
    path = tmp_path / "a"
    tone = np.repeat(0.5 * np.sin(2 * np.pi * 440 * np.arange(n_samples) / 48000)[:, None], 2, axis=1)
    encode({"vocals": path}, {"vocals": tone}, Encoding(format=format_), info(sample_rate=48000))
    written, rate = read(path)
    assert (written.shape, rate) == ((n_samples, 2), 48000)
    # As in `test_lossy_files_are_read_in_place`.
    assert np.abs(written - tone)[1000:-1000].max(initial=0) < 0.02


@pytest.mark.parametrize(
    ("format_", "rate", "written_rate"),
    [
        ("opus", 44100, 48000),
        ("opus", 11025, 12000),
        ("opus", 192000, 48000),
        ("mp3", 96000, 48000),
        ("mp3", 9000, 11025),
        ("ogg", 96000, 96000),
        ("flac", 192000, 192000),
    ],
)
def test_a_format_without_the_sources_rate_gets_the_next_and_a_warning(
    tmp_path: Path, format_: audio.Format, rate: int, written_rate: int
) -> None:
    path = tmp_path / "a"
    report = encode({"vocals": path}, {"vocals": noise(rate)}, Encoding(format=format_), info(sample_rate=rate))
    written = soundfile.info(path)
    assert (written.samplerate, written.frames) == (written_rate, written_rate)  # one second
    told = f"{format_} has no sample rate of {rate} Hz: written at {written_rate} Hz"
    assert report.warnings == ([told] if rate != written_rate else [])


@pytest.mark.parametrize(
    ("rate", "kbps", "written_kbps"),
    [(44100, 32, 32), (44100, 128, 128), (44100, 320, 320), (22050, 64, 64), (22050, 320, 160), (8000, 320, 64)],
)
def test_mp3_has_the_bit_rate_asked_for_or_the_highest(tmp_path: Path, rate: int, kbps: int, written_kbps: int) -> None:
    path = tmp_path / "a.mp3"
    encoding = Encoding(format="mp3", mp3_bitrate_kbps=kbps)
    encode({"vocals": path}, {"vocals": noise(3 * rate, 1)}, encoding, info(sample_rate=rate, n_channels=1))
    # The encoder's delay and the frame with its settings add up to five frames: 4 % of 3 s at most at 22.05 kHz.
    assert path.stat().st_size * 8 / 3 / 1000 == pytest.approx(written_kbps, rel=0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"format": "mp4"},
        {"format": "flac", "depth": "float32"},
        {"format": "mp3", "depth": "int24"},
        {"format": "mp3", "mp3_bitrate_kbps": 100},
    ],
)
def test_encodings_that_do_not_exist_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Encoding(**wrong)


# Whole or not at all


@contextmanager
def file_size_limit(n_bytes: int) -> Iterator[None]:
    """No file can grow beyond: writing fails in the middle, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("stage", ["samples come", "files are encoded"])
@pytest.mark.parametrize("format_", FORMATS)
def test_a_disk_that_runs_full_leaves_nothing_new_and_older_files_as_they_were(
    tmp_path: Path, format_: audio.Format, stage: str
) -> None:
    older = tmp_path / "vocals"
    older.write_text("older")
    paths = {"vocals": older, "drums": tmp_path / "new" / "folder" / "drums"}
    stems = {stem: noise(100000).T.astype(np.float32) for stem in paths}
    with pytest.raises(AudioError, match=rf"{tmp_path}.*: cannot be written"):
        _write_until_full(StemWriter(paths, Encoding(format=format_), info(sample_rate=48000)), stems, stage)
    assert list(tmp_path.rglob("*")) == [older]
    assert older.read_text() == "older"


def _write_until_full(writer: StemWriter, stems: dict[str, NDArray[np.float32]], stage: str) -> None:
    with writer:
        if stage == "samples come":
            with file_size_limit(10000):
                writer.write(stems)
        else:
            writer.write(stems)
            for spool in writer._spools.values():
                spool.flush()
            with file_size_limit(10000):
                writer.finish()


@pytest.mark.parametrize("format_", FORMATS)
def test_a_disk_that_is_full_at_the_very_end_is_an_error_too(tmp_path: Path, format_: audio.Format) -> None:
    samples = noise(100000).T.astype(np.float32)
    path = tmp_path / "a"
    encode({"x": path}, {"x": samples.T}, Encoding(format=format_), info(sample_rate=48000))
    whole = path.read_bytes()
    with StemWriter({"x": path}, Encoding(format=format_), info(sample_rate=48000)) as writer:
        writer.write({"x": samples})
        with (
            pytest.raises(AudioError, match=r"a: cannot be written \(File too large\)"),
            file_size_limit(len(whole) - 1000),
        ):
            writer.finish()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == whole


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interruption_between_two_files_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    whole = StemWriter._encode
    calls = []

    def encode_one_and_a_half(self: StemWriter, spool: object, partial: Path, *args: object) -> float:
        calls.append(partial)
        result = whole(self, spool, partial, *args)
        if len(calls) == 2:
            raise error
        return result

    monkeypatch.setattr(StemWriter, "_encode", encode_one_and_a_half)
    older = tmp_path / "vocals.wav"
    older.write_text("older")
    stems = {"vocals": noise(100), "drums": noise(100)}
    with pytest.raises(error):
        encode({stem: tmp_path / f"{stem}.wav" for stem in stems}, stems)
    assert list(tmp_path.iterdir()) == [older]
    assert older.read_text() == "older"


def test_leaving_a_writer_unfinished_removes_the_folders_it_made_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with StemWriter({"vocals": tmp_path / "mine" / "new" / "deeper" / "a.wav"}, Encoding(), info()):
        assert (tmp_path / "mine" / "new" / "deeper").is_dir()
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]


@pytest.mark.parametrize("stem", ["vocals", "drums"])
def test_a_folder_in_the_place_of_an_output_is_an_error_before_any_work(tmp_path: Path, stem: str) -> None:
    folder = tmp_path / f"{stem}.wav"
    folder.mkdir()
    stems = {"vocals": noise(100), "drums": noise(100)}
    with pytest.raises(AudioError, match=rf"{stem}\.wav: cannot be written \(Is a directory\)"):
        encode({stem: tmp_path / f"{stem}.wav" for stem in stems}, stems)
    assert list(tmp_path.rglob("*")) == [folder]


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(AudioError, match=r"a\.wav: cannot be written \((Not a directory|File exists)\)"):
        encode({"vocals": tmp_path / "file" / "a.wav"}, {"vocals": noise(100)})
    assert (tmp_path / "file").read_text() == "mine"


def test_an_older_output_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_text("older")
    encode({"vocals": path}, {"vocals": noise(100)})
    assert read(path)[0].shape == (100, 2)
    assert list(tmp_path.iterdir()) == [path]


# Resampling


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 48000, 88200, 96000, 192000])
def test_resampled_tones_are_the_same_tones(rate: int) -> None:
    seconds = np.arange(rate) / rate
    tone = (0.5 * np.sin(2 * np.pi * 1000 * seconds)).astype(np.float32)[None]
    there = Resampler(rate, 44100, 1).push(tone, last=True)
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(there.shape[1]) / 44100)
    assert abs(there.shape[1] - 44100) <= 1
    # The filter's ends see zeros outside; inside, -100 dB of the tone is what float32 and the filter leave.
    assert np.abs(there[0] - expected)[4410:-4410].max() < 1e-5


@pytest.mark.parametrize("block", [1, 7, 4096])
def test_resampling_does_not_depend_on_the_blocks(block: int) -> None:
    samples = noise(5000).T.astype(np.float32)
    whole = Resampler(48000, 44100, 2).push(samples, last=True)
    resampler = Resampler(48000, 44100, 2)
    parts = [resampler.push(samples[:, start : start + block]) for start in range(0, 5000, block)]
    parts.append(resampler.push(samples[:, :0], last=True))
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("encoding", [Encoding(depth="float32"), *(Encoding(format=name) for name in FORMATS)])
def test_the_same_samples_are_the_same_bytes_at_any_time(tmp_path: Path, encoding: Encoding) -> None:
    written = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.{encoding.format}"
        encode({"x": path}, {"x": noise(1000)}, encoding)
        written.append(path.read_bytes())
        time.sleep(1.1)  # the time that libsndfile would note is in seconds
    assert written[0] == written[1]
    samples, _ = soundfile.read(path)
    if not encoding.is_lossy:
        np.testing.assert_allclose(samples, noise(1000), atol=1e-6)  # half a step of 24 bits
