"""The bass of a song: one instrument, one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from dttnet.songs.amplifiers import amplify_bass
from dttnet.songs.draws import choose, log_uniform
from dttnet.songs.effects import Band, chorus, compress, equalise, place
from dttnet.songs.fonts import Part, sounding_s
from dttnet.songs.library import SYNTHESISED
from dttnet.songs.parts import Line, write_bass
from dttnet.songs.samplers import Sampler, read_samplers
from dttnet.songs.score import TAIL_S, Song
from dttnet.songs.signals import RATE, Float, active_db, highpass, lowpass, mono, peak, seconds, stereo
from dttnet.songs.studio import Studio
from dttnet.songs.styles import STYLES
from dttnet.songs.synths import play_bass

_PROGRAMS: dict[str, tuple[int, ...]] = {
    "finger": (33,),
    "pick": (34,),
    "slap": (36, 37),
    "fretless": (35,),
    "double": (32,),
    "bowed": (43,),
    "synth": (38, 39),
}
_TONES: dict[str, tuple[str, ...]] = {
    "synth": ("saw", "square", "pulse", "fm", "acid", "reese", "sub"),
    "808": ("808",),
    "sub": ("sub",),
    "reese": ("reese",),
}
_ELECTRIC = {"finger": 5.0, "pick": 3.0, "fretless": 0.3}
_FAMILIES: dict[str, dict[str, float]] = {  # of styles that differ from it
    "rock": {"finger": 4, "pick": 4, "fretless": 0.1},
    "hard rock": {"finger": 3, "pick": 5},
    "punk": {"finger": 1.5, "pick": 7},
    "metal": {"finger": 3, "pick": 5},
    "pop": {"finger": 5, "pick": 2, "synth": 1.5, "sub": 0.4, "fretless": 0.3},
    "ballad": {"finger": 6, "pick": 1, "fretless": 1, "double": 0.7},
    "country": {"finger": 5, "pick": 1, "double": 4},
    "folk": {"finger": 3, "pick": 0.5, "double": 5, "bowed": 0.3},
    "blues": {"finger": 6, "pick": 1, "double": 2},
    "reggae": {"finger": 8, "pick": 0.5, "synth": 0.5},
    "soul": {"finger": 8, "double": 0.4, "fretless": 0.2},
    "funk": {"finger": 6, "slap": 3, "synth": 0.6},
    "disco": {"finger": 6, "pick": 1, "slap": 1, "synth": 0.7},
    "jazz": {"double": 8, "finger": 1, "fretless": 1},
    "latin": {"finger": 4, "double": 4, "fretless": 0.7},
    "hip hop": {"sub": 2.5, "808": 2, "finger": 3, "synth": 1.5, "double": 0.8, "slap": 0.2},
    "trap": {"808": 8, "sub": 2},
    "house": {"synth": 6, "sub": 1, "finger": 1, "slap": 0.3},
    "techno": {"synth": 7, "sub": 2},
    "drum and bass": {"reese": 4, "sub": 3, "synth": 3},
    "synth pop": {"synth": 7, "pick": 1.5, "finger": 1},
    "gospel": {"finger": 7, "pick": 0.5, "fretless": 0.5},
    "ambient": {"sub": 3, "synth": 3, "fretless": 1.5, "bowed": 1, "finger": 1},
}
_DRIVEN = {"hard rock", "punk", "metal", "rock", "indie"}
_DARK = {"reggae", "soul", "gospel", "jazz", "ballad"}

_DEEPENED_SHARE = 0.45
"""Of basses that get a sine below: what a bass has under 60 Hz is otherwise too little, and taken for the drums'."""

_FORWARD_SHARE: dict[str, float] = {
    "finger": 0.4,
    "pick": 0.65,
    "slap": 0.5,
    "fretless": 0.25,
    "synth": 0.3,
    "reese": 0.4,
}
"""Of the basses of a family: how many have their middle brought forward. Of a recorded rock band two fifths of the bass
are above 250 Hz; a network that only knows basses that end below takes them for guitars."""

_GATED_SHARE = 0.35
"""Of synthesisers' lines whose notes are cut short."""

Player = Callable[[Line, np.random.Generator, float], Float]


def render_bass(song: Song, studio: Studio, rng: np.random.Generator) -> Float:
    """(2, N) of the song's length and TAIL_S; silent where the sections say so."""
    duration_s = song.duration_s + TAIL_S
    if not any("bass" in section.plays for section in song.sections):
        return np.zeros((2, seconds(duration_s)), np.float32)
    writer, player, engineer = rng.spawn(3)
    style = STYLES[song.style]
    main = choose(writer, style.bass)
    family = _draw_family(song, main, writer)
    line = write_bass(song, writer, figures=_draw_figures(song, main, style.bass, writer), low=_lowest(family, writer))
    if family in _TONES and player.random() < _GATED_SHARE:
        line = _gated(line, player)
    x = mono(_draw_player(family, line, studio, player)(line, player, duration_s))
    if studio.features.production:
        if family not in _TONES:
            x = _touched(x, line, engineer)
        x = _produce(x, song, family, engineer)
        if family not in ("808", "sub") and engineer.random() < _DEEPENED_SHARE:
            x = _deepened(x, line, engineer)
        if engineer.random() < _FORWARD_SHARE.get(family, 0.0):
            x = _forward(x, engineer)
    x = highpass(stereo(x), 22)
    return x * np.float32(engineer.uniform(0.35, 0.85) / max(peak(x), 1e-6))


def _draw_figures(song: Song, main: str, weights: Mapping[str, float], rng: np.random.Generator) -> dict[str, str]:
    """One for each name of a section: mostly the same."""
    figures = {}
    for section in song.sections:
        if section.name not in figures:
            figures[section.name] = main if rng.random() < 0.7 else choose(rng, weights)
            if section.energy < 0.3 and rng.random() < 0.4 and main not in ("drone808", "walking"):
                figures[section.name] = "root"
    return figures


def _draw_family(song: Song, figure: str, rng: np.random.Generator) -> str:
    if figure == "drone808":
        return choose(rng, {"808": 7, "sub": 2, "synth": 1})
    if figure == "slap" and rng.random() < 0.75:
        return "slap"
    if figure == "synth" and rng.random() < 0.8:
        return choose(rng, {"synth": 6, "sub": 1.5, "reese": 1})
    return choose(rng, _FAMILIES.get(song.style, _ELECTRIC))


def _gated(line: Line, rng: np.random.Generator) -> Line:
    """With all notes shortened to one share of their length, or to one length, as sequencers do."""
    share, longest_s = rng.uniform(0.25, 0.85), log_uniform(rng, 0.08, 0.5)
    if rng.random() < 0.5:
        return replace(line, notes=tuple(replace(note, length_s=share * note.length_s) for note in line.notes))
    return replace(line, notes=tuple(replace(note, length_s=min(longest_s, note.length_s)) for note in line.notes))


def _lowest(family: str, rng: np.random.Generator) -> int:
    """E1 or so: five-string and detuned basses go lower, sub basses do not go high."""
    if family in ("808", "sub", "reese"):
        return int(rng.integers(24, 30))
    return int(rng.choice([23, 24, 25, 26, 26, 28, 28, 28, 28]))


def _draw_player(family: str, line: Line, studio: Studio, rng: np.random.Generator) -> Player:
    """An instrument of the family, or another if there is none."""
    # Short notes do not serve for long ones, and are more attack than tone.
    lengths = [note.length_s for note in line.notes]
    is_short = bool(lengths) and float(np.median(lengths)) < 0.3 and rng.random() < 0.3
    samplers = [
        sampler
        for sampler in read_samplers(studio.library, "bass.notes")
        if family in _tags(sampler) and (is_short or "stac" not in sampler.name.lower())
    ]
    presets = studio.presets(_PROGRAMS.get(family, ()))
    tones = _TONES.get(family, ()) if studio.features.fonts else ()
    if not samplers and not presets and not tones:
        samplers = read_samplers(studio.library, "bass.notes")
        presets = studio.presets(tuple(range(32, 40)))
        tones = () if samplers or presets else ("sub", "saw", "fm")
    shares = {"sampled": 3.0 * bool(samplers), "font": 2.5 * bool(presets), "tone": 3.0 * bool(tones)}
    kind = choose(rng, shares)
    if kind == "sampled":
        return _on_samples(studio, samplers[rng.integers(len(samplers))])
    if kind == "font":
        source, program = presets[rng.integers(len(presets))]
        return lambda line, _, duration_s: studio.fonts.render(
            source, [Part(line.notes, program, volume=1.0, bends=line.bends)], duration_s
        )
    tone = tones[rng.integers(len(tones))]

    def synthesised(line: Line, own: np.random.Generator, duration_s: float) -> Float:
        studio.library.count(SYNTHESISED, sounding_s(line.notes, duration_s))
        return play_bass(line.notes, own, duration_s, tone=tone)

    return synthesised


def _on_samples(studio: Studio, sampler: Sampler) -> Player:
    def player(line: Line, rng: np.random.Generator, duration_s: float) -> Float:
        release_s = rng.uniform(0.03, 0.12)
        return sampler.render(studio.library, line.notes, rng, duration_s, release_s=release_s, bends=line.bends)

    return player


def _tags(sampler: Sampler) -> frozenset[str]:
    """Families for which an instrument serves, by its name."""
    name = sampler.name.lower()
    if any(word in name for word in ("arco", "bow")):
        return frozenset({"bowed"})
    if any(word in name for word in ("pizz", "double", "upright", "contra", "acoustic")):
        return frozenset({"double"})
    if "stac" in name:
        return frozenset({"pick"})
    return frozenset({"finger", "pick", "fretless"})


def _produce(x: Float, song: Song, family: str, rng: np.random.Generator) -> Float:
    """Tone control, amplifier or direct, compressor; mono but for a chorus now and then."""
    x = x / np.float32(max(peak(x), 1e-6))
    is_synth = family in ("synth", "808", "sub", "reese")
    if not is_synth:
        x = _turn_tone(x, song, family, rng)
    if rng.random() < 0.85:
        # Basses are evened out more than anything else in a mix: the threshold is near what they have most of the time.
        x = compress(
            x,
            threshold_db=active_db(x) + rng.uniform(-4, 7),
            ratio=rng.uniform(2, 10),
            attack_s=rng.uniform(0.001, 0.02),
            release_s=rng.uniform(0.08, 0.3),
        )
    if rng.random() < (0.15 if is_synth else 0.75):
        drive_db = rng.uniform(4, 24) if song.style in _DRIVEN and family == "pick" else rng.uniform(-8, 12)
        x = amplify_bass(x, rng, drive_db=float(min(drive_db, 0) if song.style in _DARK else drive_db))
    bands = [
        Band("low", rng.uniform(40, 75), rng.normal(3, 3)),
        Band("low", rng.uniform(75, 130), rng.normal(2, 3)),
        Band("peak", rng.uniform(180, 450), rng.normal(-2.5, 2.5), 0.9),
        Band("peak", rng.uniform(600, 1800), rng.normal(0.5, 2.5), 0.9),
        Band("high", rng.uniform(2000, 5000), rng.normal(0, 3)),
    ]
    x = equalise(x, bands)
    if rng.random() < (0.06 if not is_synth else 0.12):
        x = place(chorus(x, rng, rate_hz=rng.uniform(0.2, 1.2), depth_s=rng.uniform(0.0005, 0.002), wet=0.4), width=0.6)
    return x


def _deepened(x: Float, line: Line, rng: np.random.Generator) -> Float:
    """With the fundamental of its notes made louder, as engineers do by synthesis where a pickup heard little of it."""
    sine = play_bass(line.notes, rng, x.shape[1] / RATE, tone="sub", is_steady=True)
    level = 10 ** (rng.uniform(-8, 8) / 20) * float(np.std(x)) / max(float(np.std(sine)), 1e-6)
    return x + sine * np.float32(level)


def _forward(x: Float, rng: np.random.Generator) -> Float:
    """With a second track of what is above its lowest octaves, distorted: 6 to 60 percent of the energy."""
    edge_hz, share = rng.uniform(150, 350), 10 ** (rng.uniform(-12, -2.2) / 10)
    # Distorted before it is cut: a dull bass has no middle but the one that distortion makes.
    middle = highpass(amplify_bass(x, rng, drive_db=float(rng.uniform(0, 28)), blend=0.0), edge_hz, order=4)
    level = np.sqrt(share / (1 - share)) * float(np.std(x)) / max(float(np.std(middle)), 1e-6)
    return x + middle * np.float32(level)


def _touched(x: Float, line: Line, rng: np.random.Generator) -> Float:
    """With what fingers, picks and frets add where notes begin and end, which recorded single notes are cleaned of."""
    noise = np.zeros_like(x)
    begins_db, ends_db = rng.uniform(-40, -16), rng.uniform(-50, -24)
    decay_s = rng.uniform(0.003, 0.02)
    decay = np.exp(-np.arange(seconds(8 * decay_s), dtype=np.float32) / seconds(decay_s))
    for note in line.notes:
        for at_s, level_db in ((note.start_s, begins_db), (note.start_s + note.length_s, ends_db)):
            start = seconds(max(0.0, at_s + rng.normal(0, 0.002)))
            there = noise[0, start : start + len(decay)]
            burst = decay * rng.standard_normal(len(decay), np.float32)
            there += burst[: len(there)] * np.float32(note.velocity * 10 ** ((level_db + rng.normal(0, 3)) / 20))
    noise = lowpass(highpass(noise, rng.uniform(300, 1500)), rng.uniform(2500, 9000), order=1)
    return x + noise * np.float32(peak(x))


def _turn_tone(x: Float, song: Song, family: str, rng: np.random.Generator) -> Float:
    """The pickup and its tone knob."""
    if family in ("double", "bowed"):
        return lowpass(x, rng.uniform(3500, 9000)) if rng.random() < 0.4 else x
    # Single notes are of pickups near the bridge, which hear little of the fundamental.
    x = equalise(x, [Band("low", rng.uniform(80, 160), rng.uniform(2, 11))])
    if song.style in _DARK or rng.random() < 0.35:
        return lowpass(x, rng.uniform(700, 2800))
    return lowpass(x, rng.uniform(3000, 9000))
