"""A song: composed, played, produced and mixed; or now and then an excerpt of the album, as it is."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np

from dttnet.dataset import STEMS
from dttnet.songs.bass import render_bass
from dttnet.songs.compose import compose, draw_style
from dttnet.songs.drums import render_drums
from dttnet.songs.library import Source
from dttnet.songs.loose import render_loose
from dttnet.songs.other import render_other
from dttnet.songs.production import balance, fit, mix, produce, record
from dttnet.songs.score import TAIL_S, Section, Song
from dttnet.songs.signals import Float, fade, highpass, seconds, silence, stereo
from dttnet.songs.studio import Studio
from dttnet.songs.styles import STYLES
from dttnet.songs.vocals import render_vocals

_PLAYERS = {"drums": render_drums, "bass": render_bass, "other": render_other, "vocals": render_vocals}

_ALBUM_SHARE = 0.15
"""Of songs that are excerpts of the album: the only real music there is, and little of it."""
_BASS_HZ = 150
"""Songs of the album without a stem of bass have one all the same, a synthesiser in "other": below this it goes."""


@dataclass(frozen=True)
class Take:
    """A rendered song.

    Attributes:
        song: Its plan; of an album's excerpt only the length is true.
        stems: (2, N) each, by name; their sum is the mixture, and nothing is above full scale.
        used: Seconds taken from each source, by stem and id.
        is_album: Whether it is an excerpt of the album.
    """

    song: Song
    stems: Mapping[str, Float]
    used: Mapping[str, Mapping[str, float]]
    is_album: bool = False


def render_song(studio: Studio, rng: np.random.Generator, *, styles: Collection[str] = ()) -> Take:
    """A song of a minute or so. It depends on the studio's sources and features, the styles and the generator alone.

    Args:
        studio: What to play with.
        rng: Draws everything.
        styles: The song is in one of these, and no excerpt of the album; without any, in one of all, or an excerpt.

    Raises:
        AudioError: A file of a source is gone or damaged.
    """
    composer, player, producer, engineer, lottery = rng.spawn(5)
    song = compose(composer, style=draw_style(composer, styles or STYLES))
    places = [] if styles else _album_places(studio)
    is_album = bool(places) and lottery.random() < _ALBUM_SHARE
    if is_album:
        # It has been mixed already.
        stems, used = _play_album(song, studio, places, player)
        stems = fit(stems)
        return Take(song, record(stems, engineer) if studio.features.production else stems, used, is_album=True)
    raw, used = _play(song, studio, player, styles or STYLES)
    if not studio.features.production:
        return Take(song, balance(raw, engineer), used)
    produced = {stem: produce(stem, raw[stem], song, own) for stem, own in zip(STEMS, producer.spawn(4), strict=True)}
    mixed = mix(produced, song, engineer)
    return Take(song, record(mixed, engineer), used)


def _play(
    song: Song, studio: Studio, rng: np.random.Generator, styles: Collection[str]
) -> tuple[dict[str, Float], dict[str, Mapping[str, float]]]:
    """The four stems as they are played, and what each was made of."""
    stems: dict[str, Float] = {}
    used: dict[str, Mapping[str, float]] = {}
    # A generator of its own for each, so that a change to one player leaves the others' stems as they were.
    for stem, own in zip(STEMS, rng.spawn(4), strict=True):
        plan = song if studio.features.structure else _unrelated(song, own, styles)
        studio.library.used.clear()
        play = _PLAYERS[stem] if studio.features.playing else functools.partial(render_loose, stem)
        stems[stem] = _cut(play(plan, studio, own), song)
        used[stem] = dict(studio.library.used)
    return stems, used


def _unrelated(song: Song, rng: np.random.Generator, styles: Collection[str]) -> Song:
    """Another song of the same length, in which everybody plays all the time."""
    other = compose(rng, style=draw_style(rng, styles), duration_s=song.duration_s)
    everything = Section("verse", 0, other.n_bars, float(rng.uniform(0.3, 1.0)), frozenset(STEMS))
    return replace(other, sections=(everything,))


def _cut(x: Float, song: Song) -> Float:
    """Exactly as long as the song and its tail."""
    n_samples = seconds(song.duration_s + TAIL_S)
    x = fade(x[:, :n_samples], end=seconds(0.2))
    return np.pad(x, ((0, 0), (0, n_samples - x.shape[1])))


def _album_places(studio: Studio) -> list[tuple[Source, str]]:
    """Songs of the album, if they are wanted: source and folder of each."""
    if not studio.features.album:
        return []
    return [
        (source, folder)
        for source in studio.library.sources("album")
        for folder in sorted({PurePosixPath(name).parent.as_posix() for name in studio.library.files(source)})
    ]


def _play_album(
    song: Song, studio: Studio, places: list[tuple[Source, str]], rng: np.random.Generator
) -> tuple[dict[str, Float], dict[str, Mapping[str, float]]]:
    """An excerpt of one song of the album, all stems from the same place, as long as the song would be.

    What "other" has of a bass is taken out of the song: there, it would teach that deep basses are "other".
    """
    source, folder = places[rng.integers(len(places))]
    there = {
        PurePosixPath(name).stem: name
        for name in studio.library.files(source)
        if PurePosixPath(name).parent.as_posix() == folder
    }
    duration_s = song.duration_s + TAIL_S
    album_s = max(studio.library.duration_s(source, name) for name in there.values())
    start_s = rng.random() * max(0.0, album_s - duration_s)
    stems: dict[str, Float] = {}
    used: dict[str, Mapping[str, float]] = {}
    for stem in STEMS:
        excerpt = silence(duration_s)
        studio.library.used.clear()
        if stem in there:
            excerpt = studio.library.excerpt(source, there[stem], start_s=start_s, duration_s=duration_s)
        if stem == "other" and "bass" not in there:
            excerpt = highpass(excerpt, _BASS_HZ, order=4)
        stems[stem] = _cut(fade(stereo(excerpt), start=seconds(0.05)), song)
        used[stem] = dict(studio.library.used) if stems[stem].any() else {}
    return stems, used
