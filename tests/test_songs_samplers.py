"""Instruments that are read from file names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from dttnet.songs.library import Library
from dttnet.songs.samplers import DEAD_S, parse_pitch, read_samplers
from dttnet.songs.score import Note
from dttnet.songs.signals import RATE

ENTRY = """
- id: mine
  folder: mine
  use: other.guitar
  title: t
  author: a
  url: u
  licence: CC0-1.0
  octave: {octave}
"""


def hertz(pitch: float) -> float:
    return 440 * 2 ** ((pitch - 69) / 12)


def measured(x: np.ndarray) -> float:
    """Loudest frequency of a mono sound, as a pitch."""
    middle = x[0, 4000:30000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 19))
    return 12 * np.log2(spectrum.argmax() * RATE / (1 << 19) / 440) + 69


def a_library(tmp_path: Path, names: dict[str, float], octave: int = 0) -> Library:
    """Decaying sines, of the pitches given, in files of these names."""
    time_s = np.arange(2 * RATE) / RATE
    for name, pitch in names.items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.5 * np.sin(2 * np.pi * hertz(pitch) * time_s) * np.exp(-time_s), RATE)
    (tmp_path / "sources.yaml").write_text(ENTRY.format(octave=octave))
    return Library(tmp_path, only=("other.guitar",))


NAMES = {"a2_p_rr1.wav": 45, "a2_p_rr2.wav": 45, "a2_f_rr1.wav": 45, "d3_f.wav": 50, "g3_f.wav": 55, "c4_f.wav": 60}


@pytest.mark.parametrize(
    ("word", "pitch"), [("c4", 60), ("A4", 69), ("gb3", 54), ("C#-1", 1), ("b0", 23), ("h2", None), ("rr1", None)]
)
def test_pitches_are_read_from_words(word, pitch):
    assert parse_pitch(word) == pitch


def test_files_between_pitches_are_moved_to_the_note(tmp_path):
    library = a_library(tmp_path, NAMES)
    (sampler,) = read_samplers(library, "other.guitar")
    for pitch in (45, 48, 53, 62):
        x = sampler.render(library, [Note(0, 1, pitch, 0.8)], np.random.default_rng(0), 1.0)
        assert measured(x) == pytest.approx(pitch, abs=0.05)


def test_octaves_are_corrected_by_the_source(tmp_path):
    library = a_library(tmp_path, {name: pitch - 12 for name, pitch in NAMES.items()}, octave=-1)
    (sampler,) = read_samplers(library, "other.guitar")
    assert sampler.pitches.min() == 33
    x = sampler.render(library, [Note(0, 1, 45, 0.8)], np.random.default_rng(0), 1.0)
    assert measured(x) == pytest.approx(45, abs=0.05)


def test_each_folder_is_an_instrument_and_one_without_pitches_is_none(tmp_path):
    names = {f"soft/{name}": pitch for name, pitch in NAMES.items()} | {
        f"hard/{name}": pitch for name, pitch in NAMES.items()
    }
    library = a_library(tmp_path, names | {"noise/perc_1.wav": 50, "noise/perc_2.wav": 50})
    assert [sampler.name for sampler in read_samplers(library, "other.guitar")] == ["mine/hard", "mine/soft"]


def test_loud_notes_take_loud_files_and_are_louder(tmp_path):
    library = a_library(tmp_path, NAMES)
    (sampler,) = read_samplers(library, "other.guitar")
    rng = np.random.default_rng(0)
    soft, loud = ({sampler._choose(Note(0, 1, 45, v), rng, "")[0] for _ in range(20)} for v in (0.3, 1.0))
    assert soft == {"a2_p_rr1.wav", "a2_p_rr2.wav"}
    assert loud == {"a2_f_rr1.wav"}
    peaks = [
        np.abs(sampler.render(library, [Note(0, 1, 45, v)], np.random.default_rng(0), 1.0)).max() for v in (0.5, 1.0)
    ]
    # 24 dB from the softest to the loudest stroke
    assert peaks[1] / peaks[0] == pytest.approx(10 ** (12 / 20), rel=1e-3)


def test_takes_alternate(tmp_path):
    library = a_library(tmp_path, NAMES)
    (sampler,) = read_samplers(library, "other.guitar")
    rng, before = np.random.default_rng(0), ""
    for _ in range(20):
        name, _ = sampler._choose(Note(0, 1, 45, 0.35), rng, before)
        assert name != before
        before = name


def test_notes_end_after_their_release(tmp_path):
    library = a_library(tmp_path, NAMES)
    (sampler,) = read_samplers(library, "other.guitar")
    x = sampler.render(library, [Note(0.1, 0.3, 45, 0.8)], np.random.default_rng(0), 1.0, release_s=0.1)
    assert x.shape == (1, RATE)
    assert not x[:, : int(0.1 * RATE)].any()
    assert np.abs(x[:, int(0.3 * RATE) : int(0.4 * RATE)]).max() > 0.05
    assert not x[:, int(0.5 * RATE) + 2 :].any()


def test_bends_move_the_pitch(tmp_path):
    library = a_library(tmp_path, NAMES)
    (sampler,) = read_samplers(library, "other.guitar")
    x = sampler.render(library, [Note(0, 1, 45, 0.8)], np.random.default_rng(0), 1.0, bends=[(0.0, 2.0), (2.0, 2.0)])
    assert measured(x) == pytest.approx(47, abs=0.05)


def test_dead_notes_are_noises_of_damped_strings(tmp_path):
    library = a_library(tmp_path, NAMES | {"mute_string1_rr1.wav": 100})
    (sampler,) = read_samplers(library, "other.guitar")
    assert sampler.noises == ("mute_string1_rr1.wav",)
    assert sampler._choose(Note(0, DEAD_S / 2, 45, 0.8), np.random.default_rng(0), "") == ("mute_string1_rr1.wav", 0)


def test_a_use_without_sources_has_no_samplers(tmp_path):
    assert read_samplers(a_library(tmp_path, NAMES), "bass.notes") == []


def test_notes_count_as_long_as_they_sound(tmp_path):
    library = a_library(tmp_path, NAMES)
    (sampler,) = read_samplers(library, "other.guitar")
    notes = [Note(0, 0.25, 45, 0.8), Note(0.5, 9, 50, 0.8), Note(3.5, 1, 55, 0.8)]
    sampler.render(library, notes, np.random.default_rng(0), 4.0, release_s=0.05)
    # With the release; then the file, which lasts 2 s but for its silent first sample; then up to the end.
    assert library.used["mine"] == pytest.approx(0.3 + 2 + 0.5, abs=0.001)
