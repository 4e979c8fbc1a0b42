"""Evaluation of files and models: known scores by construction, edge cases, resuming, and that museval reads it."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from conftest import GAINS, gain_model, identity_model
from dttnet.cli import main
from dttnet.dataset import MIXTURE, STEMS, Track, load_dataset
from dttnet.errors import ModelError, UsageError
from dttnet.evaluate import (
    ModelSettings,
    Outcome,
    default_workers,
    plan_files,
    plan_model,
    run,
    select_tracks,
    with_few_threads,
)
from dttnet.metrics import usdr
from dttnet.scores import ESTIMATES, ORACLE, PAPER, SILENCE, Summary, TrackScores
from dttnet.separator import Separator

RATE = 8000
Audio = NDArray[np.float64]
Stems = Mapping[str, Audio]

# Estimates are float32 in the files: 2^-25 of the sample, beside errors that are 20 dB below it.
FLOAT32_DB = 1e-5


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def noise(n_samples: int = 3 * RATE + 700, *, seed: int = 0) -> Audio:
    return np.random.default_rng(seed).standard_normal((2, n_samples)) * 0.1


def song(seed: int = 0, n_samples: int = 3 * RATE + 700) -> dict[str, Audio]:
    return {stem: noise(n_samples, seed=10 * seed + i) for i, stem in enumerate(STEMS)}


def at_sdr(reference: Audio, db: float) -> Audio:
    """An estimate with exactly this SDR in all windows."""
    return reference * (1 - 10 ** (-db / 20))


def write(path: Path, audio: Audio, *, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio.T, rate, "FLOAT")
    return path


def write_song(folder: Path, stems: Stems, *, rate: int = RATE) -> None:
    for stem, audio in stems.items():
        write(folder / f"{stem}.wav", audio, rate=rate)


def tracks_of(root: Path) -> list[Track]:
    return select_tracks(load_dataset(root, cache=False))


def score_files(
    root: Path, estimates: Path, out: Path, *, baselines: bool = False, template: str | None = None
) -> list[Outcome]:
    jobs = plan_files(tracks_of(root), estimates, stems=STEMS, out=out, baselines=baselines, template=template)
    return run(jobs)


def score_one(
    references: Stems, estimates: Stems, tmp_path: Path, *, baselines: bool = False, rate: int = RATE
) -> TrackScores:
    """Scores of one track, from files."""
    write_song(tmp_path / "set" / "a", references)
    write_song(tmp_path / "est" / "a", estimates, rate=rate)
    (outcome,) = score_files(tmp_path / "set", tmp_path / "est", tmp_path / "out", baselines=baselines)
    assert outcome.error is None
    assert outcome.scores is not None
    return outcome.scores


def summary_of(*tracks: TrackScores) -> Summary:
    return Summary(name="x", stems=STEMS, tracks=tracks)


def evaluate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)], catch_exceptions=False)


# Scores


def test_scores_of_estimates_with_known_errors(tmp_path: Path) -> None:
    references = song()
    expected = dict(zip(STEMS, (12.0, 7.5, 0.5, -3.0), strict=True))
    scores = score_one(references, {stem: at_sdr(references[stem], db) for stem, db in expected.items()}, tmp_path)
    summary = summary_of(scores)
    for metric in ("usdr", "csdr_pooled", "csdr_sisec"):
        values = summary.values(metric, ESTIMATES)
        assert values == pytest.approx([*expected.values(), np.mean(list(expected.values()))], abs=FLOAT32_DB)
    assert all(len(one.window_sdr) == 3 for one in scores.methods[ESTIMATES].values())
    assert scores.left_out == {}
    assert scores.warnings == ()
    assert scores.duration_s == (3 * RATE + 700) / RATE


def test_perfect_estimates(tmp_path: Path) -> None:
    references = song()
    summary = summary_of(score_one(references, references, tmp_path))
    assert summary.value("usdr", ESTIMATES, "bass") > 90
    assert summary.value("csdr_pooled", ESTIMATES, "bass") == math.inf
    assert math.isnan(summary.value("csdr_sisec", ESTIMATES, "bass"))  # as in museval's files
    row = json.loads(summary.to_json())["methods"][ESTIMATES]
    assert (row["csdr_pooled"]["bass"], row["csdr_sisec"]["bass"]) == ("inf", None)


def test_means_are_over_tracks_and_the_two_csdr_over_what_they_say(tmp_path: Path) -> None:
    levels = {"a": (4.0, 2), "b": (8.0, 3), "c": (15.0, 7)}
    for seed, (name, (db, n_seconds)) in enumerate(levels.items()):
        references = song(seed, n_seconds * RATE)
        write_song(tmp_path / "set" / name, references)
        write_song(tmp_path / "est" / name, {stem: at_sdr(audio, db) for stem, audio in references.items()})
    outcomes = score_files(tmp_path / "set", tmp_path / "est", tmp_path / "out")
    summary = summary_of(*(outcome.scores for outcome in outcomes if outcome.scores is not None))
    assert summary.value("usdr", ESTIMATES, "drums") == pytest.approx(9, abs=FLOAT32_DB)
    assert summary.value("csdr_sisec", ESTIMATES, "drums") == pytest.approx(8, abs=FLOAT32_DB)
    assert summary.value("csdr_pooled", ESTIMATES, "drums") == pytest.approx(15, abs=FLOAT32_DB)
    assert summary.counts(ESTIMATES, "drums")["windows"] == 12


@pytest.mark.parametrize("has_mixture_file", [True, False])
def test_baselines_take_the_mixture_nothing_and_a_perfect_mask_for_every_stem(
    tmp_path: Path, has_mixture_file: bool
) -> None:
    references = song()
    mixture = np.sum(list(references.values()), axis=0)
    if has_mixture_file:
        mixture = 0.5 * mixture
        write(tmp_path / "set" / "a" / "mixture.wav", mixture)
    estimates = {"vocals": at_sdr(references["vocals"], 5)}
    scores = score_one(references, estimates, tmp_path, baselines=True)
    assert scores.methods.keys() == {ESTIMATES, MIXTURE, SILENCE, ORACLE}
    for method in scores.methods.values():
        assert method.keys() == {"vocals"}
    assert scores.methods[SILENCE]["vocals"].usdr == 0
    assert list(scores.methods[SILENCE]["vocals"].window_sdr) == [0, 0, 0]
    expected = usdr(references["vocals"], mixture)
    assert scores.methods[MIXTURE]["vocals"].usdr == pytest.approx(expected, abs=FLOAT32_DB)
    assert scores.methods[ORACLE]["vocals"].usdr > max(expected, 0)


# What estimates may be like


def test_a_stem_without_estimates_in_any_track_is_not_scored_and_the_summary_says_so(tmp_path: Path) -> None:
    references = song()
    scores = score_one(references, {"vocals": at_sdr(references["vocals"], 6)}, tmp_path)
    summary = summary_of(scores)
    assert scores.methods[ESTIMATES].keys() == {"vocals"}
    assert scores.left_out == {}
    assert math.isnan(summary.values("usdr", ESTIMATES)[-1])  # no mean of one stem
    assert "Without scores: drums, bass, other." in summary.to_text()


def test_an_estimate_that_some_tracks_lack_is_left_out_named_and_an_error_at_the_end(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_song(tmp_path / "set" / name, song())
        write_song(tmp_path / "est" / name, song(1))
    (tmp_path / "est" / "b" / "bass.wav").unlink()
    for stem in STEMS:
        (tmp_path / "est" / "c" / f"{stem}.wav").unlink()
    result = evaluate(tmp_path / "set", "--estimates", tmp_path / "est", "-o", tmp_path / "out", "-j", "1")
    assert result.exit_code == 1
    assert "b: bass is left out: no estimate" in result.stderr
    assert "c: there is no estimate of vocals" in result.stderr
    assert "Left out: bass: no estimate: 1 track (b)." in result.stdout
    assert "Failed, and not in these numbers: 1 track (c)." in result.stdout
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["left_out"] == {"bass: no estimate": ["b"]}
    assert list(summary["failed"]) == ["c"]
    counts = summary["methods"][ESTIMATES]["counts"]
    assert (counts["vocals"]["tracks"], counts["bass"]["tracks"]) == (2, 1)


@pytest.mark.parametrize(
    ("n_samples", "message"),
    [(2 * RATE, "8700 samples (1.087 s) shorter"), (4 * RATE, "7300 samples (0.912 s) longer")],
)
def test_estimates_of_another_length_are_padded_or_cut_with_a_warning(
    tmp_path: Path, n_samples: int, message: str
) -> None:
    references = song()
    estimate = np.zeros((2, 4 * RATE))
    estimate[:, : 3 * RATE + 700] = at_sdr(references["vocals"], 10)
    estimate[:, 3 * RATE + 700 :] = 0.3
    scores = score_one(references, {"vocals": estimate[:, :n_samples]}, tmp_path)
    (warning,) = scores.warnings
    assert message in warning
    assert str(tmp_path / "est" / "a" / "vocals.wav") in warning
    windows = scores.methods[ESTIMATES]["vocals"].window_sdr
    assert windows == pytest.approx([10, 10, 0 if n_samples < 3 * RATE else 10], abs=FLOAT32_DB)


def test_estimates_at_another_rate_are_resampled_with_a_warning(tmp_path: Path) -> None:
    def tone(rate: int) -> Audio:
        seconds = np.arange(3 * rate) / rate
        return np.stack([np.sin(2 * np.pi * 440 * seconds), np.sin(2 * np.pi * 1000 * seconds)]) * 0.3

    scores = score_one({"vocals": tone(RATE)}, {"vocals": at_sdr(tone(11025), 20)}, tmp_path, rate=11025)
    (warning,) = scores.warnings
    assert "resampled from 11025 to 8000 Hz" in warning
    # The second window: at its ends the tone begins and stops, which no resampling keeps.
    assert scores.methods[ESTIMATES]["vocals"].window_sdr[1] == pytest.approx(20, abs=1e-3)


def test_mono_estimates_stand_on_both_channels_with_a_warning_unless_the_reference_is_mono(tmp_path: Path) -> None:
    voice = noise()[:1]
    references = {"vocals": np.concatenate([voice, voice]), "bass": voice}
    scores = score_one(references, {stem: at_sdr(voice, 9) for stem in references}, tmp_path)
    for one in scores.methods[ESTIMATES].values():
        assert one.usdr == pytest.approx(9, abs=FLOAT32_DB)
    (warning,) = scores.warnings
    assert "vocals.wav: is mono, and its reference is not" in warning


def test_of_more_than_two_channels_the_first_two_are_used_with_a_warning(tmp_path: Path) -> None:
    reference = noise()
    scores = score_one({"vocals": reference}, {"vocals": np.concatenate([at_sdr(reference, 9), noise()])}, tmp_path)
    assert scores.methods[ESTIMATES]["vocals"].usdr == pytest.approx(9, abs=FLOAT32_DB)
    assert "has 4 channels; the first two are used" in scores.warnings[0]


def test_a_silent_or_missing_reference_is_left_out_and_does_not_touch_the_other_stems(tmp_path: Path) -> None:
    references = song()
    estimates = {stem: at_sdr(audio, 6) for stem, audio in references.items()}
    references["drums"] = np.zeros_like(references["drums"])
    del references["bass"]
    scores = score_one(references, estimates, tmp_path, baselines=True)
    assert scores.left_out == {"drums": "silent reference", "bass": "silent reference"}
    for method in scores.methods.values():
        assert method.keys() == {"vocals", "other"}
    assert scores.methods[ESTIMATES]["vocals"].csdr_sisec == pytest.approx(6, abs=FLOAT32_DB)
    text = summary_of(scores).to_text()
    assert "Left out: drums: silent reference: 1 track (a)." in text


def test_a_track_whose_references_are_all_silent_is_no_failure(tmp_path: Path) -> None:
    scores = score_one({"vocals": np.zeros((2, RATE))}, song(), tmp_path)
    assert scores.methods == {ESTIMATES: {}}
    assert set(scores.left_out.values()) == {"silent reference"}
    assert TrackScores.from_json(scores.to_json()).to_json() == scores.to_json()


def test_windows_with_silence_count_where_they_should(tmp_path: Path) -> None:
    references = {stem: audio for stem, audio in song().items() if stem in ("vocals", "drums")}
    references["vocals"][:, :RATE] = 0
    estimates = {stem: at_sdr(audio, 6) for stem, audio in references.items()}
    estimates["drums"][:, RATE : 2 * RATE] = 0
    summary = summary_of(score_one(references, estimates, tmp_path))
    vocals, drums = (summary.counts(ESTIMATES, stem) for stem in ("vocals", "drums"))
    assert (vocals["windows_csdr_pooled"], drums["windows_csdr_pooled"]) == (2, 3)
    assert vocals["windows_csdr_sisec"] == drums["windows_csdr_sisec"] == 1


def test_broken_estimates_fail_their_track_and_no_other(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_song(tmp_path / "set" / name, song())
        write_song(tmp_path / "est" / name, song(1))
    write(tmp_path / "est" / "a" / "drums.wav", np.full((2, RATE), np.nan))
    (tmp_path / "est" / "b" / "drums.wav").write_bytes(b"not audio")
    outcomes = score_files(tmp_path / "set", tmp_path / "est", tmp_path / "out")
    errors = [outcome.error or "" for outcome in outcomes]
    assert "a/drums.wav: holds samples that are not finite numbers" in errors[0]
    assert "b/drums.wav: not an audio" in errors[1]
    assert outcomes[2].scores is not None
    assert sorted(path.name for path in (tmp_path / "out").rglob("*") if path.is_file()) == ["c.json"]


# Where estimates are


@pytest.mark.parametrize(
    ("place", "template"),
    [
        ("a [live]/vocals.wav", None),
        ("a [live]/vocals.flac", None),
        ("a [live]/vocals.WAV", None),
        ("test/a [live]/vocals.wav", None),
        ("a [live]_vocals.wav", "{track}_{stem}.{ext}"),
        ("vocals/test-a [live].wav", "{stem}/{split}-{track}.wav"),
    ],
)
def test_estimates_are_found_in_the_usual_places_and_by_template(
    tmp_path: Path, place: str, template: str | None
) -> None:
    reference = noise()
    write(tmp_path / "set" / "test" / "a [live]" / "vocals.wav", reference)
    path = tmp_path / "est" / place
    path.parent.mkdir(parents=True)
    # Whole steps of 24 bits, so that FLAC keeps them.
    soundfile.write(path, np.rint(at_sdr(reference, 6).T * 2**23) / 2**23, RATE, "PCM_24")
    (outcome,) = score_files(tmp_path / "set", tmp_path / "est", tmp_path / "out", template=template)
    assert outcome.scores is not None
    # 24 bits of noise at -20 dB.
    assert outcome.scores.methods[ESTIMATES]["vocals"].usdr == pytest.approx(6, abs=1e-4)


def test_what_is_no_folder_of_estimates_is_refused(tmp_path: Path) -> None:
    write_song(tmp_path / "set" / "a", song())
    estimates = tmp_path / "est"
    with pytest.raises(UsageError, match="there is no such folder"):
        score_files(tmp_path / "set", estimates, tmp_path / "out")
    estimates.mkdir()
    with pytest.raises(UsageError, match=r"no estimates of vocals, drums.*as 'a'"):
        score_files(tmp_path / "set", estimates, tmp_path / "out")
    with pytest.raises(UsageError, match=r"--filename '\{song\}': 'song'"):
        score_files(tmp_path / "set", estimates, tmp_path / "out", template="{song}")
    write(estimates / "a" / "vocals.wav", noise())
    soundfile.write(estimates / "a" / "vocals.flac", noise().T, RATE)
    with pytest.raises(UsageError, match="two estimates of one stem"):
        score_files(tmp_path / "set", estimates, tmp_path / "out")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{track}.wav", "the estimate of vocals of 'a' and of drums of 'a'"),
        ("{stem}.wav", "the estimate of vocals of 'a' and of vocals of 'b'"),
    ],
)
def test_one_file_is_not_the_estimate_of_two_stems_or_tracks(tmp_path: Path, template: str, message: str) -> None:
    for name in ("a", "b"):
        write_song(tmp_path / "set" / name, song())
        write(tmp_path / "est" / f"{name}.wav", noise())
    write(tmp_path / "est" / "vocals.wav", noise())
    with pytest.raises(UsageError, match=message):
        score_files(tmp_path / "set", tmp_path / "est", tmp_path / "out", template=template)


def test_tracks_of_one_name_in_several_splits_are_told_apart(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        write_song(tmp_path / "set" / split / "a", song())
        for stem in STEMS if split == "test" else ("vocals",):
            write(tmp_path / "est" / split / "a" / f"{stem}.wav", noise())
        if split != "test":
            (tmp_path / "est" / split / "a" / "vocals.wav").write_bytes(b"not audio")
    result = evaluate(
        tmp_path / "set", "--estimates", tmp_path / "est", "--split", "all", "-o", tmp_path / "out", "-j", "1"
    )
    assert result.exit_code == 1
    assert "2 of 3 tracks failed" in result.stderr
    assert "test/a: uSDR" in result.stderr
    assert "Failed, and not in these numbers: 2 tracks (train/a; valid/a)." in result.stdout
    shared = tmp_path / "shared"
    write_song(shared / "a", song())
    with pytest.raises(UsageError, match="the estimate of vocals of 'test/a' and of vocals of 'train/a'"):
        plan_files(select_tracks(load_dataset(tmp_path / "set"), "all"), shared, stems=STEMS, out=tmp_path / "out")


def test_a_name_that_is_too_long_for_the_scores_is_refused_before_the_work(tmp_path: Path) -> None:
    name = "a" * 251  # and .json
    write_song(tmp_path / "set" / name, song())
    write_song(tmp_path / "est" / name, song())
    with pytest.raises(UsageError, match="too long a name for a file; rename the folder of the track"):
        score_files(tmp_path / "set", tmp_path / "est", tmp_path / "not" / "there")


def test_the_test_split_is_taken_if_there_is_one(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_song(tmp_path / "set" / split / f"{split} song", song())
    write_song(tmp_path / "plain" / "a", song())
    dataset = load_dataset(tmp_path / "set", cache=False)

    def names(split: str | None) -> list[str]:
        return [track.name for track in select_tracks(dataset, split)]

    assert names(None) == ["test song"]
    assert names("train") == ["train song"]
    assert names("all") == ["test song", "train song"]
    assert [track.name for track in tracks_of(tmp_path / "plain")] == ["a"]
    with pytest.raises(UsageError, match=r"no tracks in the split 'valid' \(there are: test, train\)"):
        names("valid")


# Models


def tone_song(root: Path, gains: Mapping[str, float], *, mixture_gain: float = 1.0) -> Audio:
    """A track whose stems are shares of one tone that swells, so that nothing lies above the models' band."""
    n_samples = 3 * 44100 + 500
    tone = np.sin(2 * np.pi * 440 * np.arange(n_samples) / 44100) * np.hanning(n_samples) * 0.5
    base = np.stack([tone, -0.5 * tone])
    write_song(root / "a", {stem: gain * base for stem, gain in gains.items()}, rate=44100)
    write(root / "a" / "mixture.wav", mixture_gain * base, rate=44100)
    return base


def score_model(root: Path, settings: ModelSettings, out: Path, *, save_to: Path | None = None) -> TrackScores:
    jobs = plan_model(tracks_of(root), settings, stems=STEMS, out=out, save_to=save_to)
    (outcome,) = run(jobs)
    assert outcome.error is None
    assert outcome.scores is not None
    return outcome.scores


def test_a_model_of_known_gains_has_the_scores_that_follow(tmp_path: Path, four_stems: Path) -> None:
    # The model gives its gain times the mixture, and that is the stem but for 10 dB.
    tone_song(tmp_path / "set", GAINS, mixture_gain=1 - 10 ** (-10 / 20))
    settings = ModelSettings(model=str(four_stems), device="cpu", threads=1, adds_up=False)
    scores = score_model(tmp_path / "set", settings, tmp_path / "out")
    assert scores.methods[ESTIMATES].keys() == set(STEMS)
    for one in scores.methods[ESTIMATES].values():
        # The transform and back in float32.
        assert one.usdr == pytest.approx(10, abs=1e-3)
    assert scores.made_with["model"] == "four"
    assert len(scores.made_with["model_sha256"]) == 64


def test_a_model_of_one_stem_is_scored_on_that_stem(tmp_path: Path, one_stem: Path) -> None:
    base = tone_song(tmp_path / "set", {"vocals": 0.7, "drums": 0.3})
    settings = ModelSettings(model=str(one_stem), device="cpu", threads=1)
    scores = score_model(tmp_path / "set", settings, tmp_path / "out", save_to=tmp_path / "stems")
    assert scores.methods[ESTIMATES].keys() == {"vocals"}
    assert scores.methods[ESTIMATES]["vocals"].usdr == pytest.approx(20 * np.log10(7 / 3), abs=1e-3)
    saved, rate = soundfile.read(tmp_path / "stems" / "test" / "a" / "vocals.wav")
    assert rate == 44100
    # The transform and back, in float32 at half of full scale.
    assert np.abs(saved.T - base).max() < 1e-5


def test_saved_estimates_score_as_the_model_that_made_them(tmp_path: Path, four_stems: Path) -> None:
    write_song(tmp_path / "set" / "a", song(), rate=44100)
    settings = ModelSettings(model=str(four_stems), device="cpu", threads=1)
    by_model = score_model(tmp_path / "set", settings, tmp_path / "out", save_to=tmp_path / "stems")
    (outcome,) = score_files(tmp_path / "set", tmp_path / "stems", tmp_path / "out2")
    assert outcome.scores is not None
    for stem in STEMS:
        by_files = outcome.scores.methods[ESTIMATES][stem]
        # The blocks are cut elsewhere, so the sums add up in another order.
        assert by_files.window_sdr == pytest.approx(by_model.methods[ESTIMATES][stem].window_sdr, abs=1e-9)


def test_reference_chunks_are_those_of_overlap_0_and_reflected_edges(tmp_path: Path, four_stems: Path) -> None:
    write_song(tmp_path / "set" / "a", song(n_samples=8 * 44100), rate=44100)  # more than a chunk
    arguments = (tmp_path / "set", "--model", four_stems, "--raw", "--device", "cpu", "--threads", "1")
    out = tmp_path / "out"
    assert evaluate(*arguments, "--reference-chunks", "--save-estimates", "-o", out).exit_code == 0
    mixture = np.sum([audio.astype(np.float32) for audio in song(n_samples=8 * 44100).values()], axis=0)
    separator = Separator(str(four_stems), device="cpu", adds_up=False, overlap=0, chunk_edges="reflect")
    for stem, expected in separator.separate(mixture, 44100).items():
        saved, _ = soundfile.read(out / "estimates" / "test" / "a" / f"{stem}.wav")
        # float32 rounding of the sum of the stems.
        assert np.abs(saved.T - expected).max() < 1e-6
    other = Separator(str(four_stems), device="cpu", adds_up=False, overlap=0).separate(mixture, 44100)
    assert np.abs(other["vocals"] - separator.separate(mixture, 44100)["vocals"]).max() > 1e-4


def test_a_model_without_any_of_the_stems_is_refused(tmp_path: Path) -> None:
    write_song(tmp_path / "set" / "a", song())
    model = identity_model(tmp_path / "guitar", ["guitar"])
    with pytest.raises(UsageError, match="gives guitar, no_guitar, none of vocals"):
        plan_model(tracks_of(tmp_path / "set"), ModelSettings(model=str(model)), stems=STEMS, out=tmp_path / "out")
    with pytest.raises(ModelError, match="neither a model"):
        plan_model(tracks_of(tmp_path / "set"), ModelSettings(model="nothing"), stems=STEMS, out=tmp_path / "out")


def test_a_network_that_gives_nan_fails_its_track(tmp_path: Path) -> None:
    write_song(tmp_path / "set" / "a", song())
    model = gain_model(tmp_path / "nan", nan=True)
    result = evaluate(tmp_path / "set", "--model", model, "-o", tmp_path / "out", "--device", "cpu")
    assert result.exit_code == 1
    assert "NaN or infinite values" in result.stderr
    assert "1 of 1 tracks failed" in result.stderr


# Resuming and parallel work


def make_set(tmp_path: Path, n_tracks: int = 3, *, n_samples: int = RATE) -> tuple[Path, Path]:
    for i in range(n_tracks):
        references = song(i, n_samples)
        write_song(tmp_path / "set" / f"song {i}", references)
        estimates = {stem: at_sdr(audio, 5 + i) for stem, audio in references.items()}
        write_song(tmp_path / "est" / f"song {i}", estimates)
    return tmp_path / "set", tmp_path / "est"


def texts_of(outcomes: Sequence[Outcome]) -> list[str]:
    """All that is known of each track."""
    assert [outcome.error for outcome in outcomes] == [None] * len(outcomes)
    return [outcome.scores.to_json() for outcome in outcomes if outcome.scores is not None]


def test_tracks_with_whole_scores_are_skipped_and_others_are_made_again(tmp_path: Path) -> None:
    root, estimates = make_set(tmp_path, 4)
    out = tmp_path / "out"
    first = score_files(root, estimates, out)
    texts = {path: path.read_text() for path in sorted((out / "test").iterdir())}
    again = score_files(root, estimates, out)
    assert all(outcome.is_skipped for outcome in again)
    assert texts_of(again) == texts_of(first)

    broken, unlike, gone, kept = texts
    broken.write_text(texts[broken][:-100])
    write(estimates / "song 1" / "bass.wav", noise(RATE + 1))
    gone.unlink()
    third = score_files(root, estimates, out)
    assert [outcome.is_skipped for outcome in third] == [False, False, False, True]
    for path in (broken, gone, kept):
        assert path.read_text() == texts[path]
    assert unlike.read_text() != texts[unlike]


def test_scores_of_other_settings_are_made_again(tmp_path: Path, four_stems: Path) -> None:
    write_song(tmp_path / "set" / "a", song(), rate=44100)

    def skipped(*, baselines: bool = False, **settings: Any) -> bool:
        model = ModelSettings(**{"model": str(four_stems), "device": "cpu", "threads": 1} | settings)
        tracks = tracks_of(tmp_path / "set")
        return run(plan_model(tracks, model, stems=STEMS, out=tmp_path / "out", baselines=baselines))[0].is_skipped

    assert not skipped()
    assert skipped()
    assert skipped(threads=2)  # the same numbers
    assert not skipped(overlap=0.5)
    assert skipped(overlap=0.5)
    assert not skipped(overlap=0.5, adds_up=False)
    assert not skipped(overlap=0.5, adds_up=False, chunk_edges="reflect")
    assert not skipped(model=str(gain_model(tmp_path / "other", {"vocals": 0.4, "other": 0.6}, name="four")))
    assert not skipped(baselines=True)
    assert skipped(baselines=True)
    write(tmp_path / "set" / "a" / "bass.wav", noise(seed=77), rate=44100)
    assert not skipped(baselines=True)


def test_estimates_of_other_settings_are_not_taken_for_saved(tmp_path: Path, four_stems: Path) -> None:
    write_song(tmp_path / "set" / "a", song(), rate=44100)
    drums = tmp_path / "stems" / "test" / "a" / "drums.wav"
    settings = [
        ModelSettings(model=str(four_stems), device="cpu", threads=1, adds_up=adds_up) for adds_up in (True, False)
    ]
    score_model(tmp_path / "set", settings[0], tmp_path / "out", save_to=tmp_path / "stems")
    first = drums.read_bytes()
    score_model(tmp_path / "set", settings[1], tmp_path / "out")
    score_model(tmp_path / "set", settings[1], tmp_path / "out", save_to=tmp_path / "stems")
    assert drums.read_bytes() != first
    again = plan_model(
        tracks_of(tmp_path / "set"), settings[1], stems=STEMS, out=tmp_path / "out", save_to=tmp_path / "stems"
    )
    assert run(again)[0].is_skipped


def test_a_track_that_fails_leaves_no_scores_of_an_earlier_run(tmp_path: Path) -> None:
    root, estimates = make_set(tmp_path, 2)
    out = tmp_path / "out"
    arguments = (root, "--estimates", estimates, "-o", out)
    assert evaluate(*arguments).exit_code == 0
    for number, left in ((0, 1), (1, 0)):
        for path in (estimates / f"song {number}").iterdir():
            path.write_bytes(b"junk")
        assert evaluate(*arguments).exit_code == 1
        assert len(list((out / "test").glob("*.json"))) == left
        assert (out / "summary.md").exists() == (out / "summary.json").exists() == bool(left)


def test_baselines_of_some_tracks_are_no_row(tmp_path: Path) -> None:
    root, estimates = make_set(tmp_path, 2)
    first = score_files(root, estimates, tmp_path / "out", baselines=True)
    second = score_files(root, estimates, tmp_path / "out2")
    scores = [outcome.scores for outcome in (first[0], second[1]) if outcome.scores is not None]
    assert Summary(name="mixed", stems=STEMS, tracks=tuple(scores)).methods == (ESTIMATES,)


def test_there_are_no_more_workers_than_cpus_for_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert default_workers(10, has_model=False) == 3
    assert default_workers(2, has_model=False) == 2
    assert default_workers(10, has_model=True) == 1
    assert with_few_threads(ModelSettings(model="fast"), 2).threads == 1


def test_parallel_equals_serial(tmp_path: Path) -> None:
    root, estimates = make_set(tmp_path)
    (estimates / "song 1" / "drums.wav").write_bytes(b"broken")
    texts = []
    for name, n_workers in (("one", 1), ("two", 2)):
        jobs = plan_files(tracks_of(root), estimates, stems=STEMS, out=tmp_path / name, baselines=True)
        outcomes = run(jobs, n_workers=n_workers)
        assert [outcome.error is None for outcome in outcomes] == [True, False, True]
        texts.append([path.read_text() for path in sorted((tmp_path / name).rglob("*.json"))])
    assert len(texts[0]) == 2
    assert texts[0] == texts[1]


def test_models_in_parallel_score_as_one(tmp_path: Path, four_stems: Path) -> None:
    for name in ("a", "b"):
        write_song(tmp_path / "set" / name, song(ord(name)), rate=44100)
    settings = ModelSettings(model=str(four_stems), device="cpu", threads=1)
    tracks = tracks_of(tmp_path / "set")
    one, two = (run(plan_model(tracks, settings, stems=STEMS, out=tmp_path / str(n)), n_workers=n) for n in (1, 2))
    assert texts_of(one) == texts_of(two)


def test_an_interruption_ends_the_workers_and_leaves_whole_scores(tmp_path: Path) -> None:
    root, estimates = make_set(tmp_path, 12, n_samples=10 * RATE)
    jobs = plan_files(tracks_of(root), estimates, stems=STEMS, out=tmp_path / "out")

    def interrupt(_: Outcome) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(jobs, n_workers=2, report=interrupt)
    assert multiprocessing.active_children() == []
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert 1 <= len(written) < len(jobs)
    for path in written:
        TrackScores.from_json(path.read_text())


@pytest.mark.parametrize("how", ["killed", "Ctrl-C"])
def test_an_ended_run_leaves_whole_scores_no_workers_and_goes_on_where_it_was(tmp_path: Path, how: str) -> None:
    root, estimates = make_set(tmp_path, 1, n_samples=10 * RATE)
    for i in range(1, 40):
        for folder in (root, estimates):
            (folder / f"song {i}").symlink_to(folder / "song 0")
    command = [sys.executable, "-m", "dttnet", "evaluate", root, "--estimates", estimates, "-o", tmp_path / "out"]
    process = subprocess.Popen(
        [*map(str, command), "-j", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    assert "song" in process.stderr.readline()  # the first track is done
    if how == "killed":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all processes
    _, messages = process.communicate(timeout=30)  # the workers hold the pipes too: they have ended
    assert "Traceback" not in messages
    assert process.returncode == (-signal.SIGKILL if how == "killed" else 130)
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]  # hidden ones too
    for path in written:
        TrackScores.from_json(path.read_text())
    assert 1 <= len(written) < 40
    result = evaluate(root, "--estimates", estimates, "-o", tmp_path / "out", "-j", "1")
    assert result.exit_code == 0
    assert result.stderr.count("scored before") == len(written)


# museval


def stores(museval: Any, out: Path) -> tuple[Any, Any]:
    with warnings.catch_warnings():
        # pandas on what museval does with it.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        tracks, methods = museval.EvalStore(), museval.MethodStore()
        tracks.add_eval_dir(out)
        methods.add_eval_dir(out)
    return tracks, methods


def test_museval_reads_the_scores_and_sums_them_up_as_we_do(tmp_path: Path, museval: Any) -> None:
    rng = np.random.default_rng(0)
    for i in range(4):
        references = song(i, (4 + i) * RATE + 100)
        references["vocals"][:, :RATE] = 0
        write_song(tmp_path / "set" / "test" / f"song.{i}", references)
        estimates = {stem: audio + rng.uniform(0.01, 0.1) * noise(audio.shape[1]) for stem, audio in references.items()}
        estimates["drums"][:, RATE : 2 * RATE] = references["drums"][:, RATE : 2 * RATE]  # perfect
        write_song(tmp_path / "est" / f"song.{i}", estimates)
    outcomes = score_files(tmp_path / "set", tmp_path / "est", tmp_path / "mine")
    summary = summary_of(*(outcome.scores for outcome in outcomes if outcome.scores is not None))
    tracks, methods = stores(museval, tmp_path / "mine")
    assert set(tracks.df["track"]) == {f"song.{i}" for i in range(4)}
    of_tracks = tracks.agg_frames_tracks_scores()
    of_methods = methods.agg_frames_tracks_scores()
    for stem in STEMS:
        ours = summary.value("csdr_sisec", ESTIMATES, stem)
        assert of_tracks[stem, "SDR"] == pytest.approx(ours, abs=1e-9)
        assert of_methods["mine", stem, "SDR"] == pytest.approx(ours, abs=1e-9)


def test_the_scores_are_those_that_museval_writes(tmp_path: Path, museval: Any) -> None:
    references = {stem: audio for stem, audio in song(n_samples=2 * RATE + 50).items() if stem in ("vocals", "drums")}
    references["drums"][:, :RATE] = 0
    estimates = {stem: audio + 0.3 * noise(audio.shape[1], seed=5) for stem, audio in references.items()}
    score_one(references, estimates, tmp_path)
    ours = json.loads((tmp_path / "out" / "test" / "a.json").read_text())

    store = museval.TrackStore("a")
    read = [
        {stem: soundfile.read(tmp_path / kind / "a" / f"{stem}.wav")[0] for stem in references}
        for kind in ("set", "est")
    ]
    metrics = museval.evaluate(*(list(stems.values()) for stems in read), win=RATE, hop=RATE)
    for i, stem in enumerate(references):
        values = dict(zip(("SDR", "ISR", "SIR", "SAR"), (metric[i].tolist() for metric in metrics), strict=True))
        store.add_target(stem, values)
    theirs = json.loads(store.json)

    for one, other in zip(ours["targets"], theirs["targets"], strict=True):
        assert one["name"] == other["name"]
        for frame, expected in zip(one["frames"], other["frames"], strict=True):
            assert {key: frame[key] for key in ("time", "duration")} == {
                key: expected[key] for key in ("time", "duration")
            }
            assert frame["metrics"].keys() == expected["metrics"].keys()
            # museval keeps five digits.
            assert frame["metrics"]["SDR"] == pytest.approx(expected["metrics"]["SDR"], abs=5e-6, nan_ok=True)
    store.scores = ours
    store.validate()


# What a person gets


def test_the_command_writes_tables_beside_the_papers_and_a_picture(tmp_path: Path) -> None:
    root, estimates = make_set(tmp_path)
    out = tmp_path / "out"
    result = evaluate(root, "--estimates", estimates, "-o", out, "--baselines", "-j", "1")
    assert result.exit_code == 0
    assert "song 1: uSDR vocals 6.00, drums 6.00, bass 6.00, other 6.00" in result.stderr
    lines = result.stdout.splitlines()
    heading = lines.index("uSDR: mean over tracks (dB)")
    assert lines[heading + 1].split() == [*STEMS, "mean"]
    assert lines[heading + 2].split() == ["est", "6.00", "6.00", "6.00", "6.00", "6.00"]
    assert lines[heading + 4].split() == ["(silence)", "0.00", "0.00", "0.00", "0.00", "0.00"]
    assert any(line.split() == "paper: DTTNet 10.15 7.54 6.97 6.02 7.67".split() for line in lines)
    assert "3 tracks, 0.1 minutes." in lines
    assert sorted(path.name for path in out.iterdir()) == ["distribution.png", "summary.json", "summary.md", "test"]
    assert (out / "distribution.png").read_bytes()[:4] == b"\x89PNG"
    summary = json.loads((out / "summary.json").read_text(), parse_constant=pytest.fail)  # strict JSON
    assert summary["methods"][ESTIMATES]["usdr"]["mean"] == pytest.approx(6, abs=FLOAT32_DB)
    assert summary["paper"]["usdr"]["DTTNet"]["vocals"] == 10.15
    rows = [line for line in (out / "summary.md").read_text().splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {len(STEMS) + 3}
    assert "| paper: DTTNet | 10.15 | 7.54 | 6.97 | 6.02 | 7.67 |" in rows


def test_the_papers_means_are_those_of_its_stems() -> None:
    for rows in PAPER.values():
        for row in rows.values():
            assert len(row) == len(STEMS) + 1
            # Two digits each, and theirs is the mean before rounding.
            assert row[-1] == pytest.approx(np.mean(row[:-1]), abs=0.0101)


def test_other_stems_than_the_papers_have_no_paper_beside_them(tmp_path: Path) -> None:
    audio = noise(RATE)
    write_song(tmp_path / "set" / "a", {"guitar": audio, "rest": noise(RATE, seed=1)})
    write_song(tmp_path / "est" / "a", {"guitar": at_sdr(audio, 3)})
    result = evaluate(
        tmp_path / "set", "--estimates", tmp_path / "est", "--stems", "guitar,rest", "-o", tmp_path / "out", "-j", "1"
    )
    assert result.exit_code == 0
    assert "paper" not in result.stdout
    assert "3.00" in result.stdout


@pytest.mark.parametrize(
    ("stems", "numbers"),
    [
        ("vocals", "10.15 10.15"),
        ("drums,vocals", "7.54 10.15 8.85"),  # the mean of 7.54 and 10.15 is 8.845
        ("other,bass,drums,vocals", "6.02 6.97 7.54 10.15 7.67"),
    ],
)
def test_the_paper_stands_beside_any_of_its_stems_in_any_order(tmp_path: Path, stems: str, numbers: str) -> None:
    root, estimates = make_set(tmp_path, 1)
    result = evaluate(root, "--estimates", estimates, "--stems", stems, "-o", tmp_path / "out", "-j", "1")
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["paper:", "DTTNet", *numbers.split()] in rows


def test_without_matplotlib_there_is_a_line_in_the_place_of_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, estimates = make_set(tmp_path, 1)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = evaluate(root, "--estimates", estimates, "-o", tmp_path / "out", "-j", "1")
    assert result.exit_code == 0
    assert 'Drawing distribution.png needs an optional part of dttnet: pip install "dttnet[plots]"' in result.stderr
    assert not (tmp_path / "out" / "distribution.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --model or --estimates"),
        (["--model", "fast", "--estimates", "x"], "give --model or --estimates"),
        (["--estimates", "x", "--raw"], "--raw: only with --model"),
        (["--estimates", "x", "--quality", "best", "--threads", "1"], "--quality, --threads: only with --model"),
        (["--model", "fast", "--reference-chunks", "--overlap", "0"], "not both"),
        (["--model", "fast", "--reference-chunks", "--quality", "best"], "not both"),
        (["--model", "fast", "--stems", "vocals,,bass"], "'vocals,,bass': give names, separated by commas"),
        (["--model", "fast", "--filename", "x"], "goes with --estimates"),
    ],
)
def test_options_that_contradict_each_other_are_refused(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = evaluate(tmp_path, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
