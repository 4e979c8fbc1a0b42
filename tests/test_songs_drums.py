"""Drummers, kits and the drums of a song, on made-up strokes: one frequency for each loudness."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dttnet.songs.compose import compose
from dttnet.songs.drums import _ends, _strike, render_drums
from dttnet.songs.fonts import Fonts
from dttnet.songs.grooves import _PERCUSSION, GROOVES, VELOCITIES, draw_fill, play_drums
from dttnet.songs.kits import (
    LEVELS_DB,
    Keyed,
    Made,
    Recorded,
    Voice,
    _layer,
    _list_offers,
    _offer,
    draw_kit,
    synthesise,
    synthesise_cymbal,
)
from dttnet.songs.library import SOUNDFONT_FOLDERS, SYNTHESISED, Library, Source
from dttnet.songs.score import TAIL_S, Chord, Hit, Section, Song
from dttnet.songs.signals import RATE, peak, seconds
from dttnet.songs.studio import Features, Studio
from dttnet.songs.styles import STYLES

USES = ("drums.acoustic", "drums.machine", "drums.snares", "drums.hands")
FILES = [
    "drums/muldjord/KdrumL/{n:02}-kit.wav",
    "drums/muldjord/Snare/{n:02}-kit.wav",
    "drums/muldjord/Snare/{n:02}-room.wav",
    "drums/muldjord/HihatClosed/{n:02}-kit.wav",
    "drums/muldjord/HihatOpen/{n:02}-kit.wav",
    "drums/muldjord/RideL/{n:02}-kit.wav",
    "drums/muldjord/CrashL/{n:02}-kit.wav",
    "drums/muldjord/Tom1/{n:02}-kit.wav",
    "drums/frankensnare/16_basic_sn_vl{n}_rr1.wav",
    "drums/body-percussion/handclap_vl{n}_rr1.wav",
    "instruments/drum-machines/TR-808/kick/bd{n}000.wav",
    "instruments/drum-machines/TR-808/hihat-close/ch{n}.wav",
    "drums/gogodze-phu-2/ks_vl{n}_rr1.wav",
    "drums/gogodze-phu-2/sc_vl{n}_rr1.wav",
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sources")
    times = np.arange(RATE // 5) / RATE
    for pattern in FILES:
        for n in range(1, 5):
            path = root / pattern.format(n=n)
            path.parent.mkdir(parents=True, exist_ok=True)
            tone = 0.2 * n * np.sin(2 * np.pi * 200 * n * times) * np.exp(-times / 0.03)
            soundfile.write(path, np.stack([tone, 0.9 * tone], 1), RATE)
    return root


def studio(root: Path, *, held_out: bool = False, only: tuple[str, ...] = USES, **features: bool) -> Studio:
    library = Library(root, held_out=held_out, only=only)
    return Studio(library, Fonts(library), Features(**features))


def song(plays: str = "drums", *, style: str = "rock", energy: float = 0.8, swing: float = 0.0) -> Song:
    return Song(
        style=style,
        beat_s=0.4,
        swing=swing,
        key=0,
        is_minor=False,
        chords=(Chord(0, (0, 4, 7)),) * 8,
        sections=(
            Section("intro", 0, 2, 0.3, frozenset({"other"})),
            Section("verse", 2, 4, energy, frozenset({plays})),
            Section("outro", 6, 2, 0.5, frozenset({"bass"})),
        ),
    )


def source(use: str, id_: str = "x") -> Source:
    return Source(id=id_, use=use, title="T", author="A", url="U", licence="CC0-1.0", folder="f")


# ------------------------------------------------------------------------------------------------------ playing


@pytest.mark.parametrize("name", GROOVES)
def test_patterns_are_bars_of_known_strokes_on_known_pieces(name: str) -> None:
    groove = GROOVES[name]
    for piece, text in groove.parts.items():
        assert piece == "time" or piece in LEVELS_DB
        for bar in text.replace("|", "/").split("/"):
            assert len(bar) in (12, 16, 32)
            assert set(bar) <= {".", *VELOCITIES}
    assert set((groove.quiet + " " + groove.usual + " " + groove.loud).split()) <= set(LEVELS_DB)
    for kind in groove.fills:
        fill = draw_fill(np.random.default_rng(0), {kind: 1.0}, longest=16)
        assert fill
        assert all(0 <= step < 16 and 0 < velocity <= 1 for step, _, velocity in fill)
        assert {piece for _, piece, _ in fill} <= {"", *LEVELS_DB}


@pytest.mark.parametrize("style", STYLES)
def test_all_grooves_of_a_style_can_be_drawn(style: str) -> None:
    songs = STYLES[style]
    for name in songs.grooves:
        # Bars of twelve steps are played in songs that swing by more than 0.4.
        assert not GROOVES[name].is_triplets or (songs.swung and songs.swing[1] > 0.4)


def test_percussion_is_made_of_bars_on_known_pieces() -> None:
    for patterns in _PERCUSSION.values():
        for piece, bar in patterns.items():
            assert piece in LEVELS_DB
            assert len(bar) == 16


@pytest.mark.parametrize("style", STYLES)
def test_there_are_strokes_only_where_drums_play(style: str) -> None:
    plan = song(style=style, swing=0.5)
    for seed in range(5):
        hits = play_drums(plan, np.random.default_rng(seed), is_machine=False)
        assert hits
        assert hits == sorted(hits, key=lambda hit: hit.start_s)
        # Early strokes are a matter of milliseconds.
        assert all(2 * plan.bar_s - 0.06 < hit.start_s < 6 * plan.bar_s + 0.06 for hit in hits)
        assert all(0 < hit.velocity <= 1 for hit in hits)


def test_without_drums_there_are_no_strokes() -> None:
    assert play_drums(song("bass"), np.random.default_rng(0), is_machine=False) == []


def test_machines_keep_time_and_people_nearly() -> None:
    plan = song(style="rock")
    grid_s = plan.beat_s / 8
    for seed in range(10):
        exact = [hit.start_s for hit in play_drums(plan, np.random.default_rng(seed), is_machine=True)]
        np.testing.assert_allclose(np.array(exact) / grid_s, np.round(np.array(exact) / grid_s), atol=1e-6)
        loose = np.array([hit.start_s for hit in play_drums(plan, np.random.default_rng(seed), is_machine=False)])
        late_s = (loose / grid_s - np.round(loose / grid_s)) * grid_s
        # Nobody is always exact, and a sixteenth is 100 ms.
        assert 0.0005 < late_s.std() < 0.03


def test_loud_sections_are_struck_harder() -> None:
    def mean(energy: float) -> float:
        hits = [
            hit
            for seed in range(20)
            for hit in play_drums(song(energy=energy), np.random.default_rng(seed), is_machine=False)
        ]
        return float(np.mean([hit.velocity for hit in hits if hit.piece == "kick"]))

    assert mean(1.0) > mean(0.2) + 0.15


# --------------------------------------------------------------------------------------------------------- kits


@pytest.mark.parametrize(
    ("name", "piece"),
    [
        ("KdrumR/03-kit.ogg", "kick"),
        ("KdrumR/03-room.ogg", None),
        ("SnareRest/03-kit.ogg", None),
        ("RideLBell/03-kit.ogg", "bell"),
        ("HihatOpen/03-kit.ogg", "ohat"),
        ("Tom3/03-kit.ogg", "tom3"),
        ("hc_vl1_rr2.ogg", "hat"),
        ("hh_vl1_rr2.ogg", "shat"),
        ("ss_vl1_rr2.ogg", "rim"),
        ("se_vl1_rr2.ogg", "snare"),
        ("13b_rimshot_sn_vl1_rr2.ogg", "snare"),
        ("13b_tamb_sn_vl1_rr2.ogg", "snare"),
        ("20_basic_ss_vl1_rr2.ogg", "rim"),
        ("14d_brush_sb_vl1_rr2.ogg", "brush"),
        ("halfstomp_l_vl1_rr2.ogg", "stomp"),
        ("TR-808/kick/bd0010.ogg", "kick"),
        ("TR-808/mid-tom/mt10.ogg", "tom2"),
        ("TR-808/cymbal/cy1010.ogg", "crash"),
        ("Casio-SK1/hithat.ogg", "hat"),
        ("Roland-CR-8000/rimshot.ogg", "rim"),
        ("Micro-Rhythmer-12/univox-oh.ogg", "ohat"),
        ("drum_cymbal_closed.ogg", "hat"),
        ("loop_tabla.ogg", None),
        ("tabla_ghe1.ogg", "tabla low"),
        ("LM-2/conga-ll.ogg", "conga low"),
    ],
)
def test_files_are_sorted_into_pieces_by_their_names(name: str, piece: str | None) -> None:
    assert list(_offer("acoustic", source("drums.acoustic"), (name,)).pieces) == ([piece] if piece else [])


def test_strokes_are_ordered_from_soft_to_loud_by_their_numbers() -> None:
    names = ("sc_vl2_rr1.ogg", "sc_vl1_rr2.ogg", "sc_vl10_rr1.ogg", "sc_vl1_rr1.ogg")
    (strokes,) = _offer("acoustic", source("drums.acoustic"), names).pieces["snare"]
    assert [stroke.name for stroke in strokes if isinstance(stroke, Recorded)] == [
        "sc_vl1_rr1.ogg",
        "sc_vl1_rr2.ogg",
        "sc_vl2_rr1.ogg",
        "sc_vl10_rr1.ogg",
    ]


def test_room_microphones_belong_to_their_stroke() -> None:
    names = ("Snare/01-kit.ogg", "Snare/02-kit.ogg", "Snare/02-room.ogg")
    (strokes,) = _offer("acoustic", source("drums.acoustic"), names).pieces["snare"]
    assert [stroke.room for stroke in strokes if isinstance(stroke, Recorded)] == ["", "Snare/02-room.ogg"]


@pytest.mark.parametrize("piece", LEVELS_DB)
def test_every_piece_can_be_synthesised(piece: str) -> None:
    x = synthesise(piece, 0.5, np.random.default_rng(0))
    assert x.shape[0] == 1
    assert x.dtype == np.float32
    assert seconds(0.02) < x.shape[1] <= seconds(4)
    assert np.isfinite(x).all()
    assert peak(x) > 0.01
    assert abs(float(x[0, -1])) < 0.05 * peak(x)  # no click at the end


@pytest.mark.parametrize("piece", ["hat", "ohat", "ride", "crash"])
def test_synthesised_cymbals_are_brighter_when_struck_harder(piece: str) -> None:
    def centre_hz(hardness: float) -> float:
        x = synthesise_cymbal(piece, hardness, np.random.default_rng(4))
        energy = np.abs(np.fft.rfft(x[0])) ** 2
        return float((np.fft.rfftfreq(x.shape[1], 1 / RATE) * energy).sum() / energy.sum())

    assert 500 < centre_hz(0.3) < centre_hz(1.0) < 12000


@pytest.mark.parametrize("kind", ["acoustic", "brushes", "hybrid", "machine", "hands"])
def test_kits_have_every_piece_that_is_played(root: Path, kind: str) -> None:
    kit = draw_kit(kind, studio(root), song(), LEVELS_DB, np.random.default_rng(1))
    assert set(kit) == set(LEVELS_DB)
    for voice in kit.values():
        assert len(voice.sounds) == len(voice.rooms) > 0
        for x in voice.sounds:
            assert x.shape[0] == 2
            assert x.dtype == np.float32
            assert peak(x) == pytest.approx(1, abs=1e-3)
        assert abs(voice.pan) <= 0.9


def test_harder_strokes_are_other_recordings(root: Path) -> None:
    there = studio(root, only=("drums.acoustic",), production=False, fonts=False)
    kit = draw_kit("acoustic", there, song(), ["snare"], np.random.default_rng(0))
    tops = [int(np.argmax(np.abs(np.fft.rfft(x[0], RATE)))) for x in kit["snare"].sounds]
    # The harder, the higher are these strokes; tuning and damping move all of them alike.
    assert tops == sorted(tops)
    assert tops[-1] > 2 * tops[0]
    # Its room microphones are as loud as the close ones; resampling and the cut at the onset move peaks a little.
    assert all(room is not None and peak(room) == pytest.approx(1, abs=0.15) for room in kit["snare"].rooms)


def test_kits_of_validation_are_made_of_what_is_held_out(root: Path) -> None:
    def makers(there: Studio) -> set[str]:
        return {
            stroke.source.id
            for offer in _list_offers(there)
            for instruments in offer.pieces.values()
            for strokes in instruments
            for stroke in strokes
            if not isinstance(stroke, Made)
        }

    assert makers(studio(root)) == {"muldjord", "frankensnare", "body-percussion", "drum-machines"}
    assert makers(studio(root, held_out=True)) == {"gogodze-phu-2"}


# -------------------------------------------------------------------------------------------------------- drums


@pytest.mark.parametrize("style", ["rock", "jazz", "house"])
@pytest.mark.parametrize("production", [True, False])
def test_drums_are_as_long_as_the_song_and_sound_where_they_play(root: Path, style: str, production: bool) -> None:
    plan = song(style=style)
    x = render_drums(plan, studio(root, production=production), np.random.default_rng(5))
    assert x.shape == (2, seconds(plan.duration_s + TAIL_S))
    assert x.dtype == np.float32
    assert 0.2 < peak(x) <= 0.9 + 1e-6
    assert peak(x[:, : seconds(2 * plan.bar_s - 0.06)]) < 1e-4
    assert abs(float(x.mean())) < 1e-4


def test_a_song_without_drums_is_silent(root: Path) -> None:
    plan = song("bass")
    x = render_drums(plan, studio(root), np.random.default_rng(0))
    assert x.shape == (2, seconds(plan.duration_s + TAIL_S))
    assert not x.any()


def test_the_same_seed_gives_the_same_drums_whatever_came_before(root: Path) -> None:
    fresh, used = studio(root), studio(root)
    render_drums(song(style="pop"), used, np.random.default_rng(8))
    first = render_drums(song(), fresh, np.random.default_rng(7))
    np.testing.assert_array_equal(first, render_drums(song(), used, np.random.default_rng(7)))
    assert (first != render_drums(song(), used, np.random.default_rng(6))).any()


def test_what_is_used_is_counted(root: Path) -> None:
    there = studio(root, only=("drums.acoustic",))
    render_drums(song(), there, np.random.default_rng(0))
    assert set(there.library.used) == {"muldjord"}
    assert there.library.used["muldjord"] > 0


def test_each_stroke_that_is_struck_counts_as_long_as_it_sounds(root: Path) -> None:
    library = studio(root).library
    sound = np.ones((2, RATE // 2), np.float32)
    voice = Voice([sound], [None], [(source("drums.machine"),)], 1.0, 10.0, 0.0, 0.0)
    kit = {"hat": voice, "kick": _layer(voice, sound, SYNTHESISED), "crash": voice}
    hits = [Hit(0.0, "hat", 1), Hit(0.1, "kick", 1), Hit(0.2, "hat", 1), Hit(1.8, "hat", 1)]
    _strike(hits, kit, 2 * RATE, np.random.default_rng(0), library)
    # The second stroke on the hat damps the first 220 samples after it begins; the last is cut by the end.
    assert library.used["x"] == pytest.approx(0.2 + 220 / RATE + 0.5 + 0.5 + 0.2)
    assert library.used["synthesised"] == 0.5


def test_kits_that_are_not_played_do_not_count(root: Path) -> None:
    there = studio(root)
    draw_kit("acoustic", there, song(), LEVELS_DB, np.random.default_rng(1))
    assert not there.library.used


def test_without_sources_drums_are_synthesised(root: Path) -> None:
    there = studio(root, only=())
    x = render_drums(song(), there, np.random.default_rng(0))
    assert 0.2 < peak(x) <= 0.9 + 1e-6
    assert set(there.library.used) == {"synthesised"}


def test_each_stroke_on_the_hi_hat_ends_the_one_before() -> None:
    hits = [Hit(0.0, "ohat", 1), Hit(0.1, "kick", 1), Hit(0.5, "hat", 1), Hit(1.0, "phat", 1)]
    ends = _ends(hits, 2 * RATE)
    assert ends == [RATE // 2 + RATE // 200, 2 * RATE, RATE + RATE // 200, 2 * RATE]


def test_composed_songs_of_all_lengths_can_be_played(root: Path) -> None:
    there = studio(root)
    for seed, duration_s in enumerate((3.0, 10.0)):
        rng = np.random.default_rng(seed)
        plan = compose(rng, duration_s=duration_s)
        assert render_drums(plan, there, rng).shape == (2, seconds(plan.duration_s + TAIL_S))


FONT = "FluidR3_GM.sf2"


@pytest.mark.skipif(not any((folder / FONT).is_file() for folder in SOUNDFONT_FOLDERS), reason=f"{FONT} is not there")
def test_kits_of_sound_fonts_are_played(root: Path) -> None:
    font = next(folder / FONT for folder in SOUNDFONT_FOLDERS if (folder / FONT).is_file())
    library = Library(root, soundfonts=[font], only=("soundfont",))
    there = Studio(library, Fonts(library), Features())
    offers = _list_offers(there)
    assert {offer.kind for offer in offers} == {"acoustic", "brushes", "machine"}
    strokes = offers[0].pieces["snare"][0]
    assert [stroke.velocity for stroke in strokes if isinstance(stroke, Keyed)] == [0.3, 0.5, 0.7, 0.85, 1.0]
    x = render_drums(song(), there, np.random.default_rng(2))
    assert peak(x) > 0.2
    assert library.used["fluid"] > 0
    assert _list_offers(replace(there, features=Features(fonts=False))) == []
