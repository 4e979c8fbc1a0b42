"""The plan of a song: forms, chords and who plays."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from dttnet.songs.compose import DURATION_S, STEMS, compose
from dttnet.songs.draws import choose
from dttnet.songs.grooves import GROOVES
from dttnet.songs.score import METRES, STEPS, Chord, Song
from dttnet.songs.styles import BASS_FIGURES, KITS, MANNERS, ROLES, STYLES, read_chords

BANDS = "rock,hard rock,punk,indie,pop,ballad,country,folk,blues,reggae,ska,soul,funk".split(",")


def songs(n: int, style: str | None = None) -> list[Song]:
    return [compose(np.random.default_rng(seed), style=style) for seed in range(n)]


@pytest.mark.parametrize("style", STYLES)
def test_songs_of_every_style_are_whole(style: str) -> None:
    for song in songs(10, style):
        assert song.style == style
        slowest, fastest = STYLES[style].bpm
        assert slowest <= 60 / song.beat_s <= fastest
        assert DURATION_S[0] - song.bar_s <= song.duration_s <= DURATION_S[1] + song.bar_s
        bar = 0
        for section in song.sections:
            assert section.first_bar == bar
            assert section.n_bars >= 1
            assert section.plays <= set(STEMS)
            assert section.plays
            assert 0 <= section.energy <= 1
            bar += section.n_bars
        assert bar == len(song.chords) == song.n_bars


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_styles_name_what_players_know(style) -> None:
    assert set(style.bass) <= set(BASS_FIGURES)
    assert set(style.other) <= set(ROLES)
    assert set(style.singing) <= set(MANNERS)
    assert set(style.kits) <= set(KITS)
    assert set(style.grooves) <= set(GROOVES)
    assert set(style.metres) <= set(METRES)
    assert all(read_chords(text) for text in style.major_chords + style.minor_chords)


def test_waltzes_are_for_ballads_and_folk_not_for_dancers_in_four() -> None:
    share = Counter(song.metre for song in songs(300, "folk"))["3/4"] / 300
    assert share == pytest.approx(STYLES["folk"].metres["3/4"], abs=0.08)  # three standard deviations of 300 draws
    assert {song.metre for style in ("house", "reggae") for song in songs(30, style)} == {"4/4"}


@pytest.mark.parametrize("metre", METRES)
def test_steps_follow_each_other_from_bar_to_bar_in_every_metre(metre: str) -> None:
    song = replace(compose(np.random.default_rng(0), style="rock"), metre=metre, swing=0.0, lines_s=())
    played = [step for step in range(STEPS) if song.has(step)]
    times_s = [song.time_s(bar, step) for bar in (0, 1, 2) for step in played]
    assert np.diff(times_s) == pytest.approx(song.beat_s / 4)
    assert len(played) * song.beat_s / 4 == pytest.approx(song.bar_s)
    # What is written before or after a bar lies in its neighbours.
    assert song.time_s(1, -2) == pytest.approx(song.time_s(0, STEPS - 2))
    assert song.time_s(1, STEPS + 4) == pytest.approx(song.time_s(2, 4))
    left_out = [step for step in range(STEPS) if not song.has(step)]
    assert {round(song.time_s(0, step), 6) for step in left_out} <= {
        round(song.time_s(0, next((s for s in played if s > step), STEPS)), 6) for step in left_out
    }


def test_bands_without_a_click_sway_and_machines_do_not() -> None:
    played = songs(100, "rock")
    swaying = [song for song in played if song.lines_s]
    assert len(swaying) / len(played) == pytest.approx(STYLES["rock"].free, abs=0.15)  # three standard deviations
    assert not any(song.lines_s for song in songs(30, "house"))
    for song in swaying:
        lengths = np.diff(song.lines_s)
        assert len(lengths) == song.n_bars
        assert song.lines_s[0] == 0
        assert song.lines_s[-1] == pytest.approx(song.duration_s)
        # Some percent; the end may be a third slower.
        assert 0.005 < np.ptp(lengths) / song.bar_s < 0.5
        assert lengths.min() / song.bar_s > 0.9
    # Half of them in the middle of their bars are more than a few hundredths of a second from the metronome's.
    away_s = [np.abs(np.array(song.lines_s) - np.arange(song.n_bars + 1) * song.bar_s).max() for song in swaying]
    assert np.median(away_s) > 0.05


def test_steps_lie_evenly_in_bars_of_any_length() -> None:
    song = next(song for song in songs(20, "rock") if song.lines_s and song.metre == "4/4")
    song = replace(song, swing=0.0)
    for bar in range(song.n_bars):
        start_s, end_s = song.lines_s[bar], song.lines_s[bar + 1]
        assert [song.time_s(bar, step) for step in (0, 4, 8, STEPS)] == pytest.approx(
            [start_s, 0.75 * start_s + 0.25 * end_s, (start_s + end_s) / 2, end_s]
        )
    assert song.time_s(song.n_bars, 0) == pytest.approx(song.duration_s)


def test_a_seed_is_a_song() -> None:
    assert compose(np.random.default_rng(3)) == compose(np.random.default_rng(3))
    assert compose(np.random.default_rng(3)) != compose(np.random.default_rng(4))


@pytest.mark.parametrize("duration_s", [3.0, 12.0, 200.0])
def test_songs_last_as_long_as_is_asked_to_the_nearest_bar(duration_s: float) -> None:
    for seed in range(20):
        song = compose(np.random.default_rng(seed), duration_s=duration_s)
        assert abs(song.duration_s - duration_s) <= song.bar_s / 2 or song.n_bars == 2


def test_most_songs_are_of_bands() -> None:
    share = sum(STYLES[name].share for name in BANDS) / sum(style.share for style in STYLES.values())
    assert share == pytest.approx(0.7, abs=0.02)


def test_chords_are_read_by_their_degrees() -> None:
    assert read_chords("I bVII iv V7 ii7 IM7 iim7b5") == (
        Chord(0, (0, 4, 7)),
        Chord(10, (0, 4, 7)),
        Chord(5, (0, 3, 7)),
        Chord(7, (0, 4, 7, 10)),
        Chord(2, (0, 3, 7, 10)),
        Chord(0, (0, 4, 7, 11)),
        Chord(2, (0, 3, 6, 10)),
    )


@pytest.mark.parametrize("word", ["X", "IIX", "Iwrong", "7", "iiii"])
def test_what_is_no_chord_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="is no chord"):
        read_chords(word)


def test_sections_of_a_name_have_the_same_chords_and_verses_and_choruses_differ() -> None:
    n_different = n_both = 0
    for song in songs(100):
        chords: dict[str, tuple[Chord, ...]] = {}
        for section in song.sections:
            if section.name == "outro":
                continue  # its last chord is the tonic
            own = song.chords[section.first_bar : section.first_bar + section.n_bars]
            known = chords.setdefault(section.name, own)
            n = min(len(known), len(own))
            assert known[:n] == own[:n]
        if {"verse", "chorus"} <= set(chords):
            n_both += 1
            n = min(len(chords["verse"]), len(chords["chorus"]))
            n_different += chords["verse"][:n] != chords["chorus"][:n]
    # Progressions may begin alike, and be cut off there.
    assert n_different > 0.9 * n_both > 0


def test_blues_has_twelve_bars() -> None:
    for song in songs(20, "blues"):
        lengths = [section.n_bars for section in song.sections if section.name in ("verse", "solo", "chorus")]
        # A song begins and ends where it will, but inside it choruses are whole.
        assert all(n == 12 for n in lengths[:-1])


def test_songs_that_end_end_on_the_tonic() -> None:
    for song in songs(60):
        if song.sections[-1].name == "outro":
            assert song.chords[-1].root == 0


def test_some_songs_lack_a_stem_and_all_stems_of_the_others_sound() -> None:
    absent: Counter[str] = Counter()
    n_songs = 600
    for song in songs(n_songs):
        heard = frozenset[str]().union(*(section.plays for section in song.sections))
        absent.update(set(STEMS) - heard)
        assert len(heard) > 1
    # About four standard deviations of what the styles' shares make.
    assert absent["vocals"] / n_songs == pytest.approx(0.08, abs=0.045)
    assert 0 < absent["drums"] / n_songs < 0.09
    assert 0 < absent["bass"] / n_songs < 0.09


def test_choruses_are_louder_than_verses() -> None:
    for song in songs(50):
        energy = {section.name: section.energy for section in reversed(song.sections)}
        if {"verse", "chorus"} <= set(energy):
            assert energy["chorus"] > energy["verse"]


def test_choices_follow_the_weights() -> None:
    rng = np.random.default_rng(0)
    drawn = Counter(choose(rng, {"a": 3.0, "b": 1.0, "c": 0.0}) for _ in range(4000))
    assert drawn["c"] == 0
    # Four standard deviations of a binomial draw are 2.7 %.
    assert drawn["a"] / 4000 == pytest.approx(0.75, abs=0.028)
