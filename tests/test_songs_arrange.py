"""Whole songs, of tones and noise in the place of real sources: that they are complete, exact and repeatable."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import soundfile

from dttnet.dataset import STEMS
from dttnet.songs import arrange
from dttnet.songs.arrange import Take, render_song
from dttnet.songs.compose import compose
from dttnet.songs.fonts import Fonts
from dttnet.songs.library import Library
from dttnet.songs.score import TAIL_S
from dttnet.songs.studio import Features, Studio

RATE = 44100
USES = {
    "voice.speech": "voice/a.wav voice/b.wav",
    "drums.machine": "machine/kick.wav machine/snare.wav machine/hat_a.wav",
    "bass.notes": "bass/e1.wav bass/a1.wav",
    "other.guitar": "guitar/e3.wav guitar/a3.wav",
    "album": "album/tune/vocals.wav album/tune/drums.wav album/tune/bass.wav album/tune/other.wav",
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    root = tmp_path_factory.mktemp("sources")
    rng = np.random.default_rng(0)
    entries = []
    for use, names in USES.items():
        for name in names.split():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            time_s = np.arange(RATE * (20 if use == "album" else 1)) / RATE
            tone = np.sin(2 * np.pi * 110 * time_s) * np.exp(-time_s % 1)
            soundfile.write(path, 0.4 * tone + 0.05 * rng.standard_normal(len(time_s)), RATE)
        folder = names.split("/")[0]
        entries.append(
            f"- {{id: {folder}, folder: {folder}, use: {use}, title: The {folder}, author: Me, "
            "url: 'https://example.org', licence: CC0-1.0}"
        )
    (root / "sources.yaml").write_text("\n".join(entries))
    return Library(root)


@pytest.fixture(autouse=True)
def short_songs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrange, "compose", functools.partial(compose, duration_s=8.0))


def render(library: Library, seed: int = 3, *, without: tuple[str, ...] = ("album",)) -> Take:
    studio = Studio(library, Fonts(library), Features.without(("fonts", *without)))
    return render_song(studio, np.random.default_rng(seed))


@pytest.mark.parametrize("without", [(), ("structure",)])
def test_a_song_is_in_one_of_the_styles_that_are_asked_for(library: Library, without: tuple[str, ...]) -> None:
    studio = Studio(library, Fonts(library), Features.without(("fonts", "production", *without)))
    takes = [render_song(studio, np.random.default_rng(seed), styles=("techno", "house")) for seed in range(12)]
    assert {take.song.style for take in takes} == {"techno", "house"}
    assert not any(take.is_album for take in takes)
    assert any(render_song(studio, np.random.default_rng(seed)).is_album for seed in range(12))


PLAIN = ("playing", "production", "structure", "singing", "album")


@pytest.mark.parametrize(
    "without", [("album",), ("album", "singing"), ("album", "structure"), ("album", "production"), PLAIN]
)
def test_stems_are_whole_finite_and_below_full_scale(library: Library, without: tuple[str, ...]) -> None:
    take = render(library, without=without)
    assert tuple(take.stems) == STEMS
    for stem, audio in take.stems.items():
        assert audio.dtype == np.float32, stem
        # The longest possible rounding is a sample.
        assert audio.shape[0] == 2
        assert abs(audio.shape[1] - (take.song.duration_s + TAIL_S) * RATE) <= 1
        assert np.isfinite(audio).all()
        assert np.abs(audio).max() < 1
    assert np.abs(np.sum(list(take.stems.values()), axis=0)).max() < 1
    assert any(audio.any() for audio in take.stems.values())


def test_the_same_generator_gives_the_same_song_whatever_was_made_before(library: Library) -> None:
    first = render(library, 5)
    render(library, 6)
    again = render(library, 5)
    assert first.song == again.song
    assert first.used == again.used
    for stem in STEMS:
        np.testing.assert_array_equal(first.stems[stem], again.stems[stem])


def test_what_sounds_is_made_of_something(library: Library) -> None:
    for seed in range(3):
        take = render(library, seed, without=("album", "production"))
        for stem in STEMS:
            assert set(take.used[stem]) <= {"voice", "machine", "bass", "guitar", "synthesised"}
            assert all(duration_s > 0 for duration_s in take.used[stem].values())
            if take.stems[stem].any():
                assert take.used[stem], stem


def test_album_songs_keep_their_stems_together(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrange, "_ALBUM_SHARE", 1.0)
    take = render(library, without=("production",))
    assert take.is_album
    assert all(set(take.used[stem]) == {"album"} for stem in STEMS)


def test_album_songs_are_mixed_already(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stems of full scale, which add up to more: softer, and nothing else."""
    monkeypatch.setattr(arrange, "_ALBUM_SHARE", 1.0)
    take = render(library, without=("production",))
    player = np.random.default_rng(3).spawn(5)[1]
    studio = Studio(library, Fonts(library), Features())
    played, _ = arrange._play_album(take.song, studio, arrange._album_places(studio), player)
    gains = [np.ptp(take.stems[stem]) / np.ptp(played[stem]) for stem in STEMS]
    np.testing.assert_allclose(gains, gains[0], rtol=1e-5)  # float32
    assert np.abs(np.sum(list(take.stems.values()), axis=0)).max() <= 0.98


@pytest.mark.parametrize("has_bass", [True, False])
def test_an_album_song_without_a_bass_has_none_in_other(
    library: Library, monkeypatch: pytest.MonkeyPatch, *, has_bass: bool
) -> None:
    """The files have a tone of 110 Hz: a bass, if no other file is it."""
    monkeypatch.setattr(arrange, "_ALBUM_SHARE", 1.0)
    files = library.files
    monkeypatch.setattr(
        library, "files", lambda source: tuple(name for name in files(source) if has_bass or "bass" not in name)
    )
    stems = render(library, without=("production",)).stems
    assert stems["bass"].any() == has_bass

    def tone_db(x: np.ndarray) -> float:
        """Against the noise from 1 kHz on."""
        power = np.abs(np.fft.rfft(x[0])) ** 2
        hz = np.fft.rfftfreq(x.shape[1], 1 / RATE)
        return 10 * np.log10(power[(hz > 105) & (hz < 115)].sum() / power[hz > 1000].sum())

    # A Butterworth filter of order 4 at 150 Hz takes 11.1 dB from 110 Hz; the files' noise differs by 0.1 dB.
    expected_db = 0.0 if has_bass else -11.1
    assert tone_db(stems["other"]) - tone_db(stems["drums"]) == pytest.approx(expected_db, abs=0.3)


def test_without_the_album_nothing_is_of_it(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrange, "_ALBUM_SHARE", 1.0)
    assert not render(library).is_album


def test_without_structure_everybody_plays_all_the_time(library: Library) -> None:
    take = render(library, without=("album", "structure", "production"))
    assert all(audio.any() for audio in take.stems.values())
