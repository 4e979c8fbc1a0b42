"""The open set of clips: what `dttnet patterns build` reads, the same for the same seed, and sounds of their kinds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from conftest import write_sources
from dttnet import patterns
from dttnet.cli import main
from dttnet.errors import AudioError, UsageError
from dttnet.songs import clips
from dttnet.songs.clip_hands import draw_scratch, play_scratch, read_at
from dttnet.songs.clip_kinds import KINDS, Kind, finish, make_clip
from dttnet.songs.clip_lines import FIGURES, bent, draw_passage, write_figure
from dttnet.songs.clip_synths import SIREN, draw_siren, glide_along, wave
from dttnet.songs.clip_voices import vocode
from dttnet.songs.clips import Plan, build
from dttnet.songs.fonts import Fonts
from dttnet.songs.library import SOUNDFONT_FOLDERS, Library
from dttnet.songs.score import Note
from dttnet.songs.studio import Features, Studio
from test_songs_voices import utterance

RATE = 44100
NAMES = {kind.name: kind for kind in KINDS}
FONT_NAME = "FluidR3_GM.sf2"
FONT = next((folder / FONT_NAME for folder in SOUNDFONT_FOLDERS if (folder / FONT_NAME).is_file()), None)
QUICK = ("siren", "claps", "riser", "vocal_chops")
"""Classes that need no sound font."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sources")
    for folder in ("voice.speech", "drums.hands", "album"):
        (root / folder).mkdir()
    for index in range(3):
        soundfile.write(root / "voice.speech" / f"{index}.wav", utterance(130.0 + 50 * index, seed=index), RATE)
    n = RATE // 4
    clap = np.random.default_rng(0).standard_normal(n) * np.exp(-np.arange(n) / 900)
    soundfile.write(root / "drums.hands" / "handclap.wav", 0.2 * clap, RATE)
    soundfile.write(root / "album" / "vocals.wav", np.zeros(RATE), RATE)
    write_sources(root, ("voice.speech", "drums.hands", "album"))
    return root


@pytest.fixture
def studio(sources: Path) -> Studio:
    library = Library(sources, only=("voice.speech", "drums.hands"))
    return Studio(library, Fonts(library), Features())


@pytest.fixture
def quick_kinds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only classes that need no sound font, and no studio of another test."""
    monkeypatch.setattr(clips, "KINDS", tuple(NAMES[name] for name in QUICK))
    monkeypatch.setattr("dttnet.songs.library.SOUNDFONT_FOLDERS", ())
    clips._studio.cache_clear()
    yield
    clips._studio.cache_clear()


def samples(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def pitch_hz(x: np.ndarray, at_s: float) -> float:
    """The loudest frequency of a moment, to 0.3 Hz."""
    part = x[0, round(at_s * RATE) - 1024 :][:2048] * np.hanning(2048)
    return float(np.abs(np.fft.rfft(part, 65536 * 2)).argmax() * RATE / (65536 * 2))


@pytest.mark.usefixtures("quick_kinds")
def test_the_same_seed_makes_the_same_bytes_whoever_else_is_made(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        build(Plan(sources=sources, out=tmp_path / name, n_clips=3, seed=seed), n_workers=1)
    assert samples(tmp_path / "a") == samples(tmp_path / "b")
    audio = {name: {k: v for k, v in samples(tmp_path / name).items() if k.endswith(".wav")} for name in "ac"}
    assert not set(audio["a"].values()) & set(audio["c"].values())
    # More clips of fewer classes: those that were there stay the same.
    monkeypatch.setattr(clips, "KINDS", (NAMES["claps"],))
    build(Plan(sources=sources, out=tmp_path / "d", n_clips=4, seed=1), n_workers=1)
    alone = samples(tmp_path / "d")
    for number in range(3):
        assert alone[f"claps/{number:03}.wav"] == audio["a"][f"claps/{number:03}.wav"]


@pytest.mark.usefixtures("quick_kinds")
def test_a_set_is_what_patterns_build_reads_and_says_what_it_is_made_of(sources: Path, tmp_path: Path) -> None:
    out, done = tmp_path / "deep" / "out", []
    manifest = build(
        Plan(sources=sources, out=out, n_clips=4), n_workers=1, report=lambda name, i: done.append((name, i))
    )
    assert len(done) == 4 * len(QUICK)
    plan = patterns.Plan(clips=out, songs=tmp_path, out=tmp_path / "sets")
    found = {one.name: (one.stem, one.reverses) for one in patterns.read_classes(plan)}
    assert found == {name: (NAMES[name].stem, NAMES[name].reverses) for name in QUICK}
    files = sorted(out.glob("*/*.wav"))
    patterns._check_recordings(files)
    for file in files:
        info = soundfile.info(file)
        assert (info.samplerate, info.channels, info.subtype) == (RATE, 2, "PCM_24")
        assert 1.5 <= info.duration <= 8
        # Drawn between 0.35 and 0.85; rounded to 24 bits.
        assert 0.35 - 1e-6 <= np.abs(soundfile.read(file)[0]).max() <= 0.85 + 1e-6
    assert json.loads((out / "manifest.json").read_text()) == manifest
    for name, made in manifest["clips"].items():
        assert [clip["file"] for clip in made] == [f"{name}/{number:03}.wav" for number in range(4)]
        assert [clip["variant"] for clip in made] == list(NAMES[name].variants[:4])
        assert all(clip["sources"] for clip in made)
    assert set(manifest["sources"]) == {"voice.speech", "drums.hands", "synthesised"}  # nothing of the album
    assert manifest["sources"]["drums.hands"]["licence"] == "CC0-1.0"
    assert manifest["sources"]["voice.speech"]["share"]["clips"]["vocals"] == 1
    credit = (out / "CREDITS.md").read_text()
    assert credit.startswith("# What these clips are made of\n\n16 clips of 4 classes.\n\n| source |")
    assert "| t: [u](u) | a | CC0-1.0 | clips vocals 100.0% |" in credit


@pytest.mark.usefixtures("quick_kinds")
def test_a_folder_that_is_there_is_refused(sources: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is there; give a folder that is not, or remove it"):
        build(Plan(sources=sources, out=tmp_path, n_clips=3), n_workers=1)


@pytest.mark.usefixtures("quick_kinds")
def test_a_set_appears_whole_or_not_at_all(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mute(_: Studio, variant: str, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, str | float]]:
        return np.zeros((2, 4 * RATE), np.float32), {"variant": variant, "drawn": rng.random()}

    monkeypatch.setattr(clips, "KINDS", (NAMES["claps"], replace(NAMES["siren"], play=mute)))
    with pytest.raises(AudioError, match=r"siren 0 \(wail\): 20 draws were too short or silent"):
        build(Plan(sources=sources, out=tmp_path / "out", n_clips=3), n_workers=1)
    assert not list(tmp_path.iterdir())


def test_missing_sources_are_named(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dttnet.songs.library.SOUNDFONT_FOLDERS", ())
    with pytest.raises(UsageError, match="no sound font to make guitar of is installed"):
        clips.open_studio(Plan(sources=sources, out=tmp_path / "out"))
    (tmp_path / "drums.hands").mkdir()
    (tmp_path / "drums.hands" / "clap.wav").touch()
    write_sources(tmp_path, ("drums.hands",))
    with pytest.raises(UsageError, match="nothing to make vocal_chops of; add sung syllables or read and acted speech"):
        clips.open_studio(Plan(sources=tmp_path, out=tmp_path / "out"))
    with pytest.raises(UsageError, match="2 clips of each class: ask for at least 3"):
        Plan(sources=tmp_path, out=tmp_path / "out", n_clips=2)


@pytest.mark.usefixtures("quick_kinds")
def test_the_command_says_what_was_made(sources: Path, tmp_path: Path) -> None:
    def run(*words: object) -> Result:
        return CliRunner().invoke(main, ["patterns", "clips", *map(str, words)])

    result = run(sources, tmp_path / "out", "--count", 3, "--workers", 1)
    assert result.exit_code == 0, result.output
    assert "claps (drums): 3 clips" in result.output
    assert f"3 sources; whose they are is in {tmp_path / 'out' / 'CREDITS.md'}" in result.output
    assert run(sources, tmp_path / "out").exit_code == 2
    assert run(tmp_path / "nowhere", tmp_path / "other").exit_code == 2


@pytest.mark.parametrize("name", [*QUICK, "theremin", "scratch"])
def test_clips_of_a_class_differ(studio: Studio, name: str) -> None:
    n_variants = len(NAMES[name].variants)
    made = [make_clip(studio, NAMES[name], number, 0) for number in (0, 1, n_variants)]  # the last is of the first's
    lengths = {clip.audio.shape[1] for clip in made}
    assert len(lengths) == len(made)
    for clip in made:
        assert clip.audio.shape[0] == 2
        assert np.isfinite(clip.audio).all()


@pytest.fixture(scope="module")
def font_studio(sources: Path) -> Studio:
    """One for all tests: the font takes a second to load."""
    if FONT is None:
        pytest.skip(f"{FONT_NAME} is not there")
    pytest.importorskip("tinysoundfont")  # not among the dependencies: it is installed without its own
    library = Library(sources, soundfonts=[FONT], only=("voice.speech", "drums.hands", "soundfont"))
    return Studio(library, Fonts(library), Features())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_variant_sounds(font_studio: Studio, kind: Kind) -> None:
    for number in range(len(kind.variants)):
        clip = make_clip(font_studio, kind, number, 5)
        assert 1.5 * RATE <= clip.audio.shape[1] <= 8 * RATE
        assert clip.used


def test_a_desk_gives_nothing_for_what_is_silent_short_or_broken() -> None:
    rng = np.random.default_rng(0)
    for x in (np.zeros((2, 4 * RATE)), np.ones((1, 1000)), np.full((2, 4 * RATE), np.nan)):
        assert finish(x.astype(np.float32), rng, wet=1.0) is None


@pytest.mark.parametrize("variant", SIREN)
def test_a_siren_moves_between_its_ends(variant: str) -> None:
    rng = np.random.default_rng(3)
    hz, facts = draw_siren(variant, 9 * RATE, rng)
    low, high = float(facts["low_hz"]), float(facts["high_hz"])
    if variant == "dub":  # a hand may turn it away
        assert hz.max() > 1.3 * hz.min()
        return
    # A raid's motor does not reach full speed, nor stand still, within its turn.
    slack = 1.25 if variant == "raid" else 1.01
    assert low * 0.99 <= hz.min() <= low * slack
    assert high / slack <= hz.max() <= high * 1.01


def test_a_wail_is_heard_where_its_pitch_is() -> None:
    hz, _ = draw_siren("wail", 6 * RATE, np.random.default_rng(1))
    x = wave(hz, "sine")
    for at in (int(hz[RATE : 5 * RATE].argmin()) + RATE, int(hz[RATE : 5 * RATE].argmax()) + RATE, 2 * RATE):
        # Over the 46 ms that are measured it moves by a few percent.
        assert pitch_hz(x, at / RATE) == pytest.approx(hz[at], rel=0.04)


def test_a_riser_rises_and_a_down_lifter_is_one_backwards(studio: Studio) -> None:
    play = NAMES["riser"].play
    for seed in range(3):
        for variant, way in (("noise", 1), ("down", -1)):
            x = play(studio, variant, np.random.default_rng(seed))[0]
            n = x.shape[1] // 4
            first, last = (float((part**2).mean()) for part in (x[:, :n], x[:, -n:]))
            # It grows by far more than 6 dB from the first quarter to the last.
            assert (last > 4 * first) == (way > 0)
            assert (first > 4 * last) == (way < 0)


def test_a_record_is_read_where_the_needle_is_also_backwards() -> None:
    x = np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float32)
    forward = np.arange(5000) / RATE
    # Places are computed in seconds and back: a rounding error of some 1e-12 of a sample.
    np.testing.assert_allclose(read_at(x, forward), x, atol=1e-5)
    np.testing.assert_allclose(read_at(x, forward[::-1]), x[:, ::-1], atol=1e-5)
    halves = read_at(x, np.arange(9998) / 2 / RATE)
    np.testing.assert_allclose(halves[:, ::2], x[:, :4999], atol=1e-5)


@pytest.mark.parametrize("variant", ["baby", "chirp", "tear", "transform", "scribble", "spin"])
def test_scratches_go_to_and_fro_within_the_record(variant: str) -> None:
    for seed in range(4):
        places_s, fader = draw_scratch(variant, 0.6, np.random.default_rng(seed))
        assert places_s.shape == fader.shape
        assert places_s.min() >= 0
        # A last sample may be rounded up.
        assert places_s.max() <= 0.6 + 1 / RATE
        moves = np.diff(places_s)
        assert (moves > 0).any()
        assert (moves < 0).any()


def test_scratches_are_of_words_strokes_and_stabs(studio: Studio) -> None:
    made = [play_scratch(studio, "baby", np.random.default_rng(seed)) for seed in range(8)]
    # There are no drums and no fonts here: then it is a word.
    assert {facts["of"] for _, facts in made} >= {"voice", "synth"}
    assert all(x.any() for x, _ in made)


@pytest.mark.parametrize("figure", FIGURES)
def test_figures_stay_in_their_range_and_time(figure: str) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        song = draw_passage(rng)
        line = write_figure(figure, song, rng, low=60, high=84)
        # A part in harmony may be an octave away; notes at the end may ring into the tail.
        slack = 14 if figure == "harmony" else 0
        assert all(60 - slack <= note.pitch <= 84 + slack for note in line.notes)
        assert all(0 <= note.start_s <= song.duration_s + 1 for note in line.notes)
        times = [at for at, _ in line.bends]
        assert times == sorted(times)


def test_a_glide_has_no_steps_and_reaches_its_notes() -> None:
    notes = [Note(0.0, 1.0, 69, 0.8), Note(1.0, 1.0, 81, 0.8)]
    hz, level = glide_along(notes, 3 * RATE, np.random.default_rng(0), is_legato=True)
    # Vibrato and drift are below half a semitone.
    assert hz[RATE // 2] == pytest.approx(440, rel=0.03)
    assert hz[3 * RATE // 2] == pytest.approx(880, rel=0.03)
    # An octave in no less than 10 ms is 1.6 per mille a sample.
    assert np.abs(np.diff(np.log(hz))).max() < 0.002
    assert level[: 2 * RATE - RATE // 10][RATE // 10 :].min() > 0.3
    assert level[-RATE // 2 :].max() < 1e-6


def test_what_is_bent_falls_by_so_many_semitones() -> None:
    x = np.sin(2 * np.pi * 1000 * np.arange(2 * RATE) / RATE)[np.newaxis].astype(np.float32)
    y = bent(x, np.where(np.arange(RATE) < RATE // 2, 0.0, -12.0))
    assert y.shape == (1, RATE)
    # A bin of the padded spectrum is 0.3 Hz.
    assert pitch_hz(y, 0.25) == pytest.approx(1000, abs=1)
    assert pitch_hz(y, 0.75) == pytest.approx(500, abs=1)


def test_a_vocoder_has_the_carriers_pitch_and_the_voices_loudness() -> None:
    n = 2 * RATE
    carrier = wave(np.full(n, 220.0), "saw")
    voice = np.random.default_rng(0).standard_normal((1, n)).astype(np.float32)
    voice[:, RATE // 2 : RATE] = 0
    x = vocode(carrier, voice, n_bands=24)
    assert x.shape == carrier.shape
    silent, loud = (float((x[:, start : start + RATE // 4] ** 2).mean()) for start in (5 * RATE // 8, 5 * RATE // 4))
    assert silent < 1e-4 * loud
    part = np.abs(np.fft.rfft(x[0, RATE:]))  # 1 Hz a bin
    harmonics = sum(part[220 * k - 3 : 220 * k + 4].sum() for k in range(1, 20))
    # A noise would have a thirtieth of its energy in seven of 220 bins; the gains that change smear the harmonics.
    assert harmonics > 0.3 * part[: 220 * 20].sum()
