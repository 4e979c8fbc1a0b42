"""The audio contract (README), line by line, through `Separator.separate_file`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from conftest import GAINS, gain_model, noise, read, write_av
from dttnet.audio import Encoding, StemWriter, open_audio
from dttnet.errors import AudioError, MissingExtraError, ModelError, UsageError
from dttnet.separator import FileReport, Separator

MakeAudio = Callable[..., Path]

RATES_HZ = [8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000, 192000]
# Adding up four stems in float32 and taking the sum off the source are four roundings of 2^-26 below half of full
# scale. Twice that, for the gain and for what the report itself adds up.
FLOAT32_NOISE = 8 * 2.0**-26


@pytest.fixture(scope="session")
def separator(four_stems: Path) -> Separator:
    """Four stems whose bare estimates are far from adding up: the contract has to make them."""
    return Separator(str(four_stems), device="cpu", threads=1)


def summed(outputs: Mapping[str, Path]) -> NDArray[np.float64]:
    return np.sum([read(path)[0] for path in outputs.values()], axis=0)


def measured_null(source: Path, report: FileReport) -> float:
    """Peak of source minus the files' sum."""
    return float(np.abs(read(source)[0] * report.gain - summed(report.outputs)).max())


def check_null(source: Path, report: FileReport, *, at_most_db: float = -90) -> None:
    """The files add up as promised, and as well as the report says."""
    measured = measured_null(source, report)
    assert measured <= 10 ** (at_most_db / 20)
    assert report.null_db is not None
    reported = 10 ** (report.null_db / 20)
    noise_floor = FLOAT32_NOISE * max(1, 2 * report.peak * report.gain)
    assert measured <= reported + noise_floor
    # The report adds up the worst rounding of each stem: in thousands of samples they fall together but for a few dB.
    if report.duration_s > 0.1:
        assert reported <= 1.5 * measured + noise_floor


# Formats in


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        *[("a.wav", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")],
        ("a.flac", "PCM_16"),
        ("a.flac", "PCM_24"),
        ("a.mp3", None),
        ("a.ogg", None),
        ("a.opus", None),
        ("a.aiff", None),
        ("a.caf", None),
    ],
)
def test_every_format_is_separated_and_adds_up(
    separator: Separator, make_audio: MakeAudio, tmp_path: Path, name: str, subtype: str | None
) -> None:
    source = make_audio(name, noise(30001, peak=0.4), 48000, subtype=subtype)
    report = separator.separate_file(source, tmp_path / "out")
    assert list(report.outputs) == ["vocals", "drums", "bass", "other"]
    for stem, path in report.outputs.items():
        assert path == tmp_path / "out" / f"{stem}.wav"
        assert soundfile.info(path).frames == 30001
    check_null(source, report)
    assert report.warnings == ()


def test_with_pyav_an_m4a_is_separated_and_adds_up(separator: Separator, tmp_path: Path) -> None:
    samples = np.rint(noise(30001, peak=0.4) * 2**15) / 2**15
    write_av(tmp_path / "a.m4a", samples, 48000, "alac")
    report = separator.separate_file(tmp_path / "a.m4a", tmp_path / "out")
    # Nothing of 24 bits or float32 is lost in four stems beyond a rounding of half a step each.
    assert np.abs(summed(report.outputs) - samples).max() <= 4 * 2.0**-24 + FLOAT32_NOISE


def test_without_pyav_an_m4a_names_the_extra(
    separator: Separator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)  # as if it were not installed
    source = tmp_path / "a.m4a"
    source.write_bytes(b"\0\0\0\x1cftypM4A ")
    with pytest.raises(MissingExtraError, match=r'a\.m4a: .* pip install "dttnet\[formats\]"'):
        separator.separate_file(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# Rate, length, channels


@pytest.mark.parametrize("rate", RATES_HZ)
def test_outputs_have_the_sources_rate_and_length_and_add_up(
    separator: Separator, make_audio: MakeAudio, tmp_path: Path, rate: int
) -> None:
    # White noise: half of it lies above the networks' 17 kHz where the rate is 96 kHz.
    source = make_audio("a.wav", noise(rate + 1), rate, subtype="PCM_24")
    report = separator.separate_file(source, tmp_path / "out")
    for path in report.outputs.values():
        written = soundfile.info(path)
        assert (written.samplerate, written.frames, written.channels) == (rate, rate + 1, 2)
    check_null(source, report)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
@pytest.mark.parametrize("n_samples", [1, 2, 441, 44100, 44101])
def test_lengths_are_exact(
    separator: Separator, make_audio: MakeAudio, tmp_path: Path, rate: int, n_samples: int
) -> None:
    source = make_audio("a.wav", noise(n_samples), rate, subtype="PCM_24")
    report = separator.separate_file(source, tmp_path / "out")
    assert {soundfile.info(path).frames for path in report.outputs.values()} == {n_samples}
    assert report.duration_s == n_samples / rate
    check_null(source, report)


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 6])
def test_no_channel_is_lost_or_mixed_with_another(
    separator: Separator, make_audio: MakeAudio, tmp_path: Path, n_channels: int, rate: int
) -> None:
    samples = noise(20000, n_channels, peak=0.4)
    source = make_audio("a.wav", samples, rate, subtype="PCM_24")
    report = separator.separate_file(source, tmp_path / "out")
    check_null(source, report)
    vocals, _ = read(report.outputs["vocals"])
    assert vocals.shape == samples.shape
    # Vocals are a fixed share of each channel's band: 0.5, and a quarter of the 0.05 that consistency shares out.
    like = np.array(
        [[np.corrcoef(vocals[:, i], samples[:, j])[0, 1] for j in range(n_channels)] for i in range(n_channels)]
    )
    expected = np.eye(n_channels)
    # White noise loses its band above 17 kHz, a fifth of its energy: at least 0.8 is left; others correlate by chance.
    np.testing.assert_allclose(like, expected, atol=0.2)


def test_mono_gives_what_the_same_song_in_stereo_gives(
    separator: Separator, make_audio: MakeAudio, tmp_path: Path
) -> None:
    samples = noise(20000, 1)
    mono = separator.separate_file(make_audio("mono.wav", samples, subtype="FLOAT"), tmp_path / "mono")
    stereo_source = make_audio("stereo.wav", np.repeat(samples, 2, axis=1), subtype="FLOAT")
    stereo = separator.separate_file(stereo_source, tmp_path / "stereo")
    for stem, path in mono.outputs.items():
        one, two = read(path)[0], read(stereo.outputs[stem])[0]
        np.testing.assert_array_equal(np.repeat(one, 2, axis=1), two)


# Adding up


@pytest.mark.parametrize("rate", [22050, 44100, 48000, 96000])
@pytest.mark.parametrize(
    ("encoding", "at_most_db"),
    [
        (Encoding(depth="int24"), -120),  # four roundings of 2^-24 are -132 dB
        (Encoding(depth="float32"), -138),  # float32 arithmetic alone
        (Encoding(format="flac"), -120),
    ],
)
def test_files_add_up_far_better_than_promised(
    separator: Separator, make_audio: MakeAudio, tmp_path: Path, encoding: Encoding, at_most_db: float, rate: int
) -> None:
    source = make_audio("a.wav", noise(rate), rate, subtype="PCM_24")
    report = separator.separate_file(source, tmp_path / "out", encoding=encoding)
    check_null(source, report, at_most_db=at_most_db)


def test_what_lies_above_the_networks_band_goes_to_other_if_nothing_is_below_it(
    separator: Separator, make_audio: MakeAudio, tmp_path: Path
) -> None:
    tone = np.sin(2 * np.pi * 20000 * np.arange(44100) / 44100)[:, None] * np.hanning(44100)[:, None] / 2
    source = make_audio("a.wav", np.repeat(tone, 2, axis=1), subtype="FLOAT")
    report = separator.separate_file(source, tmp_path / "out")
    # A windowed tone 2.8 kHz above the band leaks nothing into it but rounding.
    for stem in ("vocals", "drums", "bass"):
        assert np.abs(read(report.outputs[stem])[0]).max() < 1e-5
    np.testing.assert_allclose(read(report.outputs["other"])[0], read(source)[0], atol=1e-5)


def test_a_single_stem_gets_a_complement(one_stem: Path, make_audio: MakeAudio, tmp_path: Path) -> None:
    source = make_audio("a.wav", noise(30000))
    report = Separator(str(one_stem)).separate_file(source, tmp_path / "out")
    assert list(report.outputs) == ["vocals", "no_vocals"]
    check_null(source, report)


def test_two_stems_add_up(four_stems: Path, make_audio: MakeAudio, tmp_path: Path) -> None:
    source = make_audio("a.wav", noise(30000))
    separator = Separator(str(four_stems), stems=["drums"], complement="no_drums")
    report = separator.separate_file(source, tmp_path / "out")
    assert list(report.outputs) == ["drums", "no_drums"]
    check_null(source, report)


def test_bare_estimates_are_the_networks_own(four_stems: Path, make_audio: MakeAudio, tmp_path: Path) -> None:
    # In the networks' band, and away from the ends, where a network of fixed gains is a multiplication.
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(20000) / 44100)[:, None]
    source = make_audio("a.wav", np.repeat(tone, 2, axis=1), subtype="FLOAT")
    report = Separator(str(four_stems), adds_up=False).separate_file(source, tmp_path / "out")
    assert report.null_db is None
    for stem, gain in GAINS.items():
        # The start of the tone is a click: 1 % of its energy lies above the band, all of it at the ends.
        np.testing.assert_allclose(
            read(report.outputs[stem])[0][1000:-1000], gain * tone.repeat(2, 1)[1000:-1000], atol=1e-6
        )


def test_stems_that_are_not_all_of_the_song_report_no_null(
    four_stems: Path, make_audio: MakeAudio, tmp_path: Path
) -> None:
    report = Separator(str(four_stems), stems=["vocals", "bass"]).separate_file(make_audio("a.wav"), tmp_path / "out")
    assert list(report.outputs) == ["vocals", "bass"]
    assert report.null_db is None


def test_silence_stays_silence(separator: Separator, make_audio: MakeAudio, tmp_path: Path) -> None:
    report = separator.separate_file(make_audio("a.wav", np.zeros((50000, 2))), tmp_path / "out")
    for path in report.outputs.values():
        assert not read(path)[0].any()
    assert report.peak == 0


# Level


@pytest.fixture(scope="session")
def loud_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stems louder than the song, which yet add up to it."""
    return gain_model(tmp_path_factory.mktemp("models") / "loud", {"vocals": 2.0, "other": -1.0}, name="loud")


@pytest.mark.parametrize("encoding", [Encoding(depth="int24"), Encoding(format="flac")])
def test_integer_files_that_would_clip_get_one_common_gain(
    loud_model: Path, make_audio: MakeAudio, tmp_path: Path, encoding: Encoding
) -> None:
    source = make_audio("a.wav", noise(30000, peak=1.0), subtype="PCM_24")
    separator = Separator(str(loud_model))
    report = separator.separate_file(source, tmp_path / "out", encoding=encoding)
    kept = separator.separate_file(source, tmp_path / "float", encoding=Encoding(depth="float32"))
    assert report.peak == kept.peak > 1
    assert report.gain == pytest.approx(1 / report.peak, rel=2.0**-22)  # the highest 24-bit sample is just below 1
    assert len(report.warnings) == 1
    assert report.warnings[0].startswith("all stems lowered by ")
    for stem, path in report.outputs.items():
        # Half a step of 24 bits, and float32 rounding of the gain and of the product, which is at most 1.
        np.testing.assert_allclose(
            read(path)[0], read(kept.outputs[stem])[0] * report.gain, rtol=0, atol=2.5 * 2.0**-24
        )
    check_null(source, report)


def test_float_files_are_never_rescaled(loud_model: Path, make_audio: MakeAudio, tmp_path: Path) -> None:
    source = make_audio("a.wav", noise(30000, peak=4.0), subtype="FLOAT")
    report = Separator(str(loud_model)).separate_file(source, tmp_path / "out")
    assert {soundfile.info(path).subtype for path in report.outputs.values()} == {"FLOAT"}
    assert (report.gain, report.warnings) == (1.0, ())
    assert report.peak == max(float(np.abs(read(path)[0]).max()) for path in report.outputs.values()) > 4
    check_null(source, report)


def test_the_level_of_a_song_does_not_matter(separator: Separator, make_audio: MakeAudio, tmp_path: Path) -> None:
    samples = noise(20000).astype(np.float32)
    loud = separator.separate_file(make_audio("loud.wav", samples, subtype="FLOAT"), tmp_path / "loud")
    soft = separator.separate_file(make_audio("soft.wav", samples / 64, subtype="FLOAT"), tmp_path / "soft")
    for stem, path in loud.outputs.items():
        # A power of two changes no digit, as long as nothing is rescaled to some level.
        np.testing.assert_array_equal(read(path)[0] / 64, read(soft.outputs[stem])[0])


# Depth


@pytest.mark.parametrize(
    ("subtype", "written"),
    [
        ("PCM_U8", "PCM_24"),
        ("PCM_16", "PCM_24"),
        ("PCM_24", "PCM_24"),
        ("PCM_32", "PCM_32"),
        ("FLOAT", "FLOAT"),
        ("DOUBLE", "DOUBLE"),
    ],
)
def test_depth_is_the_sources_or_better_and_no_16_bit_step_hides(
    separator: Separator, make_audio: MakeAudio, tmp_path: Path, subtype: str, written: str
) -> None:
    report = separator.separate_file(make_audio("a.wav", noise(20000), subtype=subtype), tmp_path / "out")
    for path in report.outputs.values():
        assert soundfile.info(path).subtype == written
        values = read(path)[0] * 2**15
        assert (values != np.rint(values)).mean() > 0.9  # nearly no sample is a 16-bit sample


# Same input, same output


@pytest.mark.parametrize("format_", ["wav", "flac", "mp3"])
def test_the_same_input_gives_the_same_bytes(
    four_stems: Path, make_audio: MakeAudio, tmp_path: Path, format_: str
) -> None:
    source = make_audio("a.wav", noise(60000), 48000)
    runs = [
        Separator(str(four_stems)).separate_file(source, tmp_path / name, encoding=Encoding(format=format_))
        for name in ("first", "second")
    ]
    for stem, path in runs[0].outputs.items():
        assert path.read_bytes() == runs[1].outputs[stem].read_bytes()


# Lossy outputs


@pytest.mark.parametrize("format_", ["mp3", "ogg", "opus"])
@pytest.mark.parametrize("n_samples", [1, 48001])
def test_lossy_files_have_the_sources_rate_and_exact_length(
    separator: Separator, make_audio: MakeAudio, tmp_path: Path, format_: str, n_samples: int
) -> None:
    source = make_audio("a.wav", noise(n_samples, peak=0.3), 48000)
    report = separator.separate_file(source, tmp_path / "out", encoding=Encoding(format=format_))
    for stem, path in report.outputs.items():
        assert path.name == f"{stem}.{format_}"
        written = soundfile.info(path)
        assert (written.samplerate, written.frames, written.channels) == (48000, n_samples, 2)
    assert (report.null_db, report.warnings) == (None, ())


def test_opus_of_a_cd_is_written_at_48_khz_with_a_warning(
    separator: Separator, make_audio: MakeAudio, tmp_path: Path
) -> None:
    source = make_audio("a.wav", noise(44100, peak=0.3), 44100)
    report = separator.separate_file(source, tmp_path / "out", encoding=Encoding(format="opus"))
    for path in report.outputs.values():
        written = soundfile.info(path)
        assert (written.samplerate, written.frames) == (48000, 48000)
    assert report.warnings == ("opus has no sample rate of 44100 Hz: written at 48000 Hz",)


# Failure and bad input


def assert_untouched(folder: Path) -> None:
    assert [path.read_text() for path in folder.rglob("*")] == ["older"]


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A folder with one output of an earlier run."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "vocals.wav").write_text("older")
    return folder


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 30000])
def test_samples_that_are_no_numbers_are_an_error_that_says_where(
    separator: Separator, make_audio: MakeAudio, older: Path, value: float, at: int
) -> None:
    samples = noise(40000)
    samples[at, 1] = value
    source = make_audio("a.wav", samples, 48000, subtype="FLOAT")
    with pytest.raises(AudioError, match=rf"a\.wav: sample {at} is not a finite number .* at {at / 48000:.3f} s"):
        separator.separate_file(source, older)
    assert_untouched(older)


def test_a_network_that_gives_nan_writes_nothing(tmp_path: Path, make_audio: MakeAudio, older: Path) -> None:
    separator = Separator(str(gain_model(tmp_path / "model", nan=True)))
    with pytest.raises(ModelError, match=r"NaN or infinite values at 0\.0 s"):
        separator.separate_file(make_audio("a.wav"), older)
    assert_untouched(older)


def test_no_samples_are_an_error(separator: Separator, make_audio: MakeAudio, older: Path) -> None:
    with pytest.raises(AudioError, match=r"a\.wav: holds no samples"):
        separator.separate_file(make_audio("a.wav", np.zeros((0, 2))), older)
    assert_untouched(older)


def test_a_file_that_breaks_off_in_the_middle_of_the_work_writes_nothing(
    separator: Separator, make_audio: MakeAudio, older: Path
) -> None:
    source = make_audio("a.flac", noise(400000))
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(AudioError, match=r"a\.flac: damaged after 4\.\d s"):
        separator.separate_file(source, older)
    assert_untouched(older)


@pytest.mark.parametrize("suffix", ["wav", "mp3"])
def test_a_truncated_file_gives_the_stems_of_what_is_there_and_a_warning(
    separator: Separator, make_audio: MakeAudio, tmp_path: Path, suffix: str
) -> None:
    source = make_audio(f"a.{suffix}", noise(50000))
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    report = separator.separate_file(source, tmp_path / "out")
    assert len(report.warnings) == 1
    assert report.warnings[0].startswith(f"{source}: truncated: ")
    assert 20000 < soundfile.info(report.outputs["vocals"]).frames < 25001
    check_null(source, report)


def test_interrupting_in_the_middle_leaves_nothing(separator: Separator, make_audio: MakeAudio, older: Path) -> None:
    def interrupt(done: int, _total: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        separator.separate_file(make_audio("a.wav", noise(200000)), older, progress=interrupt)
    assert_untouched(older)


def test_a_song_never_overwrites_itself(separator: Separator, make_audio: MakeAudio, tmp_path: Path) -> None:
    path = make_audio("vocals.wav")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="would be overwritten by one of its stems"):
        separator.separate_file(path, tmp_path)
    assert path.read_bytes() == before


def test_two_stems_never_share_a_file(separator: Separator, make_audio: MakeAudio, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="would be written to one file"):
        separator.separate_file(make_audio("a.wav"), dict.fromkeys(separator.stems, tmp_path / "out.wav"))


def test_a_failing_song_does_no_harm_to_another_in_the_same_folder(tmp_path: Path, make_audio: MakeAudio) -> None:
    with open_audio(make_audio("a.wav")) as reader:
        failing = StemWriter({"vocals": tmp_path / "out" / "a.wav"}, Encoding(), reader.info)
        working = StemWriter({"vocals": tmp_path / "out" / "b.wav"}, Encoding(), reader.info)
        with working:
            # The folder is made by the one that fails, which takes it away again.
            (tmp_path / "out").rmdir()
            with failing, pytest.raises(KeyboardInterrupt):
                raise KeyboardInterrupt
            working.write({"vocals": np.zeros((2, 10), np.float32)})
            working.finish()
    assert (tmp_path / "out" / "b.wav").exists()


def test_a_file_of_too_many_channels_is_named(separator: Separator, make_audio: MakeAudio, tmp_path: Path) -> None:
    source = make_audio("a.wav", noise(1000, 65))
    with pytest.raises(AudioError, match=r"a\.wav: has 65 channels, more than 64: split it"):
        separator.separate_file(source, tmp_path / "out")


def test_links_in_a_circle_are_a_file_that_cannot_be_read(separator: Separator, tmp_path: Path) -> None:
    (tmp_path / "a.wav").symlink_to("b.wav")
    (tmp_path / "b.wav").symlink_to("a.wav")
    with pytest.raises(AudioError, match=r"a\.wav"):
        separator.separate_file(tmp_path / "a.wav", tmp_path / "out")


def test_the_name_of_a_stem_may_be_as_long_as_a_files(one_stem: Path, make_audio: MakeAudio, tmp_path: Path) -> None:
    name = "n" * 240
    separator = Separator(str(one_stem), device="cpu", stems=["vocals"], complement=name)
    report = separator.separate_file(make_audio("a.wav"), tmp_path / "out")
    assert report.outputs[name].name == f"{name}.wav"
    assert report.outputs[name].exists()


def test_a_format_with_too_few_channels_names_the_file(
    separator: Separator, make_audio: MakeAudio, tmp_path: Path
) -> None:
    source = make_audio("a.wav", noise(1000, 6))
    with pytest.raises(AudioError, match="mp3 holds at most 2 channels, the source has 6"):
        separator.separate_file(source, tmp_path / "out", encoding=Encoding(format="mp3"))
    assert not (tmp_path / "out").exists()
