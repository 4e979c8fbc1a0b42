"""What is written for bass and accompaniment: registers, grips, repetition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dttnet.songs import parts, styles
from dttnet.songs.parts import FIGURES, GUITAR, ROLES, guitar_chord, next_voicing, voicings, write_bass, write_part
from dttnet.songs.score import Chord, Section, Song

MAJOR, MINOR, SEVENTH = (0, 4, 7), (0, 3, 7), (0, 4, 7, 10)
ALL = frozenset({"bass", "other"})


def a_song(**changes: object) -> Song:
    """G major at 120: verse, chorus, verse, break, of four bars each."""
    chords = tuple(Chord(root, MAJOR if root != 9 else MINOR) for root in (0, 7, 9, 5)) * 4
    sections = (
        Section("verse", 0, 4, 0.4, ALL),
        Section("chorus", 4, 4, 0.9, ALL),
        Section("verse", 8, 4, 0.4, ALL),
        Section("break", 12, 4, 0.4, frozenset({"vocals"})),
    )
    return replace(Song("rock", 0.5, 0.0, 7, False, chords, sections), **changes)


def in_section(notes: tuple, song: Song, index: int) -> list:
    """(start in 50 ms, pitch) of the notes of a section, from its beginning."""
    section = song.sections[index]
    start_s, end_s = section.first_bar * song.bar_s, (section.first_bar + section.n_bars) * song.bar_s
    # Players are up to 30 ms early.
    own = [note for note in notes if start_s - 0.04 <= note.start_s < end_s - 0.04]
    return sorted((round((note.start_s - start_s) / 0.05), note.pitch) for note in own)


def test_styles_ask_only_for_figures_and_roles_that_there_are():
    for style in styles.STYLES.values():
        assert set(style.bass) <= set(FIGURES)
        assert set(style.other) <= set(ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_roles_stay_in_register_and_in_their_sections(role):
    song = a_song()
    for seed in range(4):
        line = write_part(role, song, np.random.default_rng(seed), low=52, high=79)
        assert line.notes
        assert min(note.pitch for note in line.notes) >= 38
        assert max(note.pitch for note in line.notes) <= 84
        assert max(note.start_s for note in line.notes) < 12 * song.bar_s
        assert all(note.length_s > 0 and 0 < note.velocity <= 1 for note in line.notes)
        only = write_part(role, song, np.random.default_rng(seed), low=52, high=79, names={"chorus"})
        assert not in_section(only.notes, song, 0)


def test_in_three_nothing_is_played_on_the_beat_that_is_left_out():
    four, three = a_song(), a_song(metre="3/4")
    for role in ("strum", "comp"):
        lines = [write_part(role, song, np.random.default_rng(2), low=52, high=79) for song in (four, three)]
        beats = [
            {round(note.start_s / song.beat_s * 4) % round(song.bar_s / song.beat_s * 4) for note in line.notes}
            for line, song in zip(lines, (four, three), strict=True)
        ]
        assert beats[1] == {step if step < 8 else step - 4 for step in beats[0] if not 8 <= step < 12}


@pytest.mark.parametrize("role", ROLES)
def test_sections_of_the_same_name_are_played_alike(role):
    song = a_song()
    line = write_part(role, song, np.random.default_rng(1), low=52, high=79)
    first, again = (sorted(pitch for _, pitch in in_section(line.notes, song, index)) for index in (0, 2))
    assert first == again


@pytest.mark.parametrize("figure", FIGURES)
def test_a_bass_plays_one_note_at_a_time_between_e1_and_g3(figure):
    song = a_song()
    for seed in range(4):
        line = write_bass(song, np.random.default_rng(seed), figures=dict.fromkeys(("verse", "chorus"), figure))
        assert line.notes
        assert 28 <= min(note.pitch for note in line.notes) <= max(note.pitch for note in line.notes) <= 57
        for note, following in zip(line.notes[:-1], line.notes[1:], strict=True):
            assert note.start_s + note.length_s <= following.start_s + 1e-9
        pitches = [[pitch for _, pitch in in_section(line.notes, song, index)] for index in (0, 2)]
        assert pitches[0] == pitches[1]


def test_bass_figures_begin_on_the_root():
    line = write_bass(a_song(), np.random.default_rng(0), figures={"verse": "root", "chorus": "eighths"})
    for bar, root in enumerate((7, 2, 4, 0)):
        first = min(line.notes, key=lambda note: abs(note.start_s - bar * 2.0))
        assert first.pitch % 12 == root


def test_loud_sections_are_played_harder():
    song = a_song()
    notes = write_part("comp", song, np.random.default_rng(0), low=52, high=79).notes
    soft = np.mean([note.velocity for note in notes if note.start_s < 7.9])
    loud = np.mean([note.velocity for note in notes if 8.1 < note.start_s < 15.9])
    assert loud > 1.15 * soft


def test_swing_is_in_the_notes():
    swung = a_song(swing=0.66)
    straight, late = (
        write_bass(song, np.random.default_rng(0), figures={"verse": "eighths", "chorus": "eighths"}).notes
        for song in (a_song(), swung)
    )
    moved = [b.start_s - a.start_s for a, b in zip(straight, late, strict=True)]
    assert max(moved) == pytest.approx(0.66 * 0.125, abs=1e-6)
    assert min(moved) == pytest.approx(0, abs=1e-6)


def test_open_chords_are_those_of_the_song_books():
    assert guitar_chord(0, (0, 4, 7), is_open=True) == (48, 52, 55, 60, 64)
    assert guitar_chord(7, (7, 11, 2), is_open=True) == (43, 47, 50, 55, 59, 67)
    assert guitar_chord(4, (4, 7, 11), is_open=True) == (40, 47, 52, 55, 59, 64)
    assert guitar_chord(5, (5, 9, 0), is_open=True) == (41, 48, 53, 57, 60, 65)
    assert guitar_chord(2, (2, 6, 9), is_open=True) == (50, 57, 62, 66)


@pytest.mark.parametrize("intervals", [MAJOR, MINOR, SEVENTH, (0, 3, 7, 10), (0, 5, 7), (0, 4, 7, 10, 14), (0, 3, 6)])
@pytest.mark.parametrize("is_open", [True, False])
def test_grips_have_the_root_lowest_its_third_and_a_string_each(intervals, is_open):
    for root in range(12):
        pitches = guitar_chord(root, tuple((root + interval) % 12 for interval in intervals), is_open=is_open)
        assert 3 <= len(pitches) <= 6
        assert pitches[0] % 12 == root
        assert (root + intervals[1]) % 12 in {pitch % 12 for pitch in pitches}
        frets = [pitch - string for pitch, string in zip(pitches[::-1], GUITAR[::-1], strict=False)]
        pressed = [fret for fret in frets if fret]
        assert min(frets) >= 0
        assert not pressed or max(pressed) - min(pressed) <= 3


def test_voices_move_less_than_blocks_would():
    chords = [(0, 4, 7), (5, 9, 0), (7, 11, 2), (9, 0, 4)] * 4
    now, led, blocks = None, [], []
    for tones in chords:
        now = next_voicing(now, voicings(tones, 3, 52, 77), 64)
        led.append(now)
        root = 60 + tones[0]
        blocks.append(tuple(root + (tone - tones[0]) % 12 for tone in tones))
    moves = [np.abs(np.diff(np.array(x), axis=0)).sum() for x in (led, blocks)]
    assert moves[0] < 0.5 * moves[1]


def test_pitch_wheels_turn_at_most_two_semitones_and_come_back():
    for seed in range(8):
        line = write_part("lead", a_song(), np.random.default_rng(seed), low=57, high=81)
        times, values = np.array([*line.bends, (99.0, 0.0)]).T
        assert (np.diff(times) > 0).all()
        assert np.abs(values).max() <= 2
        assert values[-2:].tolist()[0] == 0


def test_a_part_depends_on_the_generator_alone():
    first, again = (write_part("strum", a_song(), np.random.default_rng(3), low=40, high=72) for _ in range(2))
    other = write_part("strum", a_song(), np.random.default_rng(4), low=40, high=72)
    assert first == again != other


def test_fit_moves_by_octaves_only():
    assert [parts.fit(pitch, 40, 51) for pitch in (28, 39, 40, 51, 52, 65)] == [40, 51, 40, 51, 40, 41]


@pytest.mark.parametrize(
    ("tones", "n_voices", "kept"),
    [
        ((0, 4, 7, 10, 2), 5, {0, 2, 4, 7, 10}),
        ((0, 4, 7, 10, 2), 4, {0, 2, 4, 10}),
        ((0, 4, 7, 10, 2), 3, {2, 4, 10}),
        ((0, 4, 7, 10), 3, {0, 4, 10}),
        ((0, 4, 7, 2), 3, {0, 2, 4}),
        ((0, 4, 7), 3, {0, 4, 7}),
    ],
)
def test_chords_of_few_voices_lose_the_fifth_and_then_the_root(tones, n_voices, kept):
    for choice in voicings(tones, n_voices, 52, 77):
        assert {pitch % 12 for pitch in choice} == kept
