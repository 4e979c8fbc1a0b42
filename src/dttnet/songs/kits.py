"""What drummers play on: kits put together from recorded, sampled and synthesised strokes, and tuned for a song."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
from scipy import fft, ndimage, signal

from dttnet.songs.draws import log_uniform
from dttnet.songs.effects import Band, equalise, saturate
from dttnet.songs.fonts import Part
from dttnet.songs.library import SYNTHESISED, Source
from dttnet.songs.score import Note, Song
from dttnet.songs.signals import RATE, Float, fade, faster, highpass, lowpass, peak, seconds, stereo
from dttnet.songs.studio import Studio

LEVELS_DB = {
    "kick": 0,
    "snare": 2,
    "rim": -6,
    "brush": -7,
    "swirl": -20,
    "hat": -12,
    "phat": -17,
    "shat": -10,
    "ohat": -10,
    "ride": -12,
    "bell": -9,
    "crash": -7,
    "crash2": -7,
    "china": -8,
    "splash": -9,
    "tom1": -2,
    "tom2": -2,
    "tom3": -1,
    "tom4": -1,
    "clap": -5,
    "cowbell": -14,
    "tambourine": -13,
    "shaker": -18,
    "conga high": -9,
    "conga low": -8,
    "tabla high": -10,
    "tabla low": -8,
    "perc": -12,
    "stomp": -2,
}
"""Peaks of the hardest strokes, about as in MuldjordKit's own mix, with the snare and the ride a little louder."""

_KEYS: dict[str, tuple[int, ...]] = {  # of General MIDI kits
    "kick": (36, 35),
    "snare": (38, 40),
    "rim": (37,),
    "hat": (42,),
    "phat": (44,),
    "ohat": (46,),
    "ride": (51, 59),
    "bell": (53,),
    "crash": (49, 57),
    "china": (52,),
    "splash": (55,),
    "tom1": (50, 48),
    "tom2": (48, 47),
    "tom3": (45, 43),
    "tom4": (43, 41),
    "clap": (39,),
    "cowbell": (56,),
    "tambourine": (54,),
    "shaker": (70, 69),
    "conga high": (62, 63, 60),
    "conga low": (64, 61),
    "perc": (75, 76, 67, 81, 77, 65),
}
_ELECTRONIC_KITS = (24, 25)
_BRUSH_KITS = (40, 41, 42)

_NAMES = (  # what the path of a file says about the piece; the first that matches counts
    (r"loop|vinyl|swoosh|swash|door|beep|blip|till|snarerest|drum_roll|impact|perc_bell|elec_(chime|twang|flip)", ""),
    (r"stomp|heel", "stomp"),
    (r"clap|(^|/)cp$", "clap"),
    (r"cowbell|(^|/)cb$", "cowbell"),
    (r"tambourine|tamborine", "tambourine"),
    (r"shaker|cabasa|maraca", "shaker"),
    (r"conga.*(-l|low)|(^|/)lc\d", "conga low"),
    (r"conga", "conga high"),
    (r"tabla_(ghe|ke|dhec)", "tabla low"),
    (r"tabla", "tabla high"),
    (r"rim(?!shot_s)|stick|(^|/)rs$|clave|(^|/)cl$|_ss_vl|(^|/)ss_vl", "rim"),
    (r"brush|_sb_vl", "brush"),
    (r"splash", "splash"),
    (r"china", "china"),
    (r"bell/", "bell"),
    (r"crash|cymbal_(hard|soft)|cymball|(^|/)cy\d", "crash"),
    (r"cymbal_open|hh-?open|hihat-?open|openhat|ohihat|univox-oh|(^|/)oh\d|(^|/)ho_", "ohat"),
    (r"(^|/)h[hl]_vl", "shat"),
    (r"pedal|(^|/)hf_", "phat"),
    (r"ride", "ride"),
    (r"cymbal_closed|hhclosed|hihat-?close|closedhat|(^|/)ch$|hithat|shorthi|univox-ch|(^|/)hat_|(^|/)h[ct]_vl", "hat"),
    (r"cymbal", "crash"),
    (r"tom.?h|hi-?tom|tom-?3$|(^|/)ht\d|fuzz_tom|(^|/)th_|tom1/", "tom1"),
    (r"tom.?m|midtom|tom-?2$|tom02|(^|/)mt\d|(^|/)tm_|tom2/", "tom2"),
    (r"tom3/", "tom3"),
    (r"tom.?l|lowtom|tom-?1$|tom01|(^|/)lt\d|(^|/)tl_|tom4/", "tom4"),
    (r"kick|kdrum|(^|/)bd|drum_bass|(^|/)ks_", "kick"),
    (r"snare|(^|/)sn_|(^|/)sd\d|shortsn|univox-sd|(^|/)s[ce]_|_s[nrm]_vl", "snare"),
)
_GROUPS = {
    "kick": ("kick", "stomp"),
    "snare": ("snare", "rim", "brush", "swirl"),
    "hats": ("hat", "phat", "ohat", "shat"),
    "cymbals": ("ride", "bell", "crash", "crash2", "china", "splash"),
    "toms": ("tom1", "tom2", "tom3", "tom4"),
}
"""Pieces that come from the same maker."""

_ALIKE = {
    "crash2": "crash",
    "shat": "ohat",
    "phat": "hat",
    "bell": "ride",
    "tom1": "tom2",
    "tom2": "tom1",
    "tom3": "tom4",
    "tom4": "tom3",
    "china": "crash",
    "splash": "crash",
    "stomp": "kick",
    "brush": "snare",
}
"""What a piece is played on where a kit has none."""

_LONGEST_S = {
    "kick": 1.0,
    "hat": 0.6,
    "phat": 0.5,
    "shat": 1.2,
    "ohat": 1.6,
    "ride": 3.0,
    "bell": 3.0,
    "crash": 4.0,
    "crash2": 4.0,
    "china": 3.0,
    "splash": 2.5,
    "tom1": 1.6,
    "tom2": 1.6,
    "tom3": 1.8,
    "tom4": 2.0,
}
_PANS = {  # from the listener's view; 1 is right
    "snare": 0.05,
    "rim": 0.05,
    "brush": 0.05,
    "hat": 0.35,
    "phat": 0.35,
    "shat": 0.35,
    "ohat": 0.35,
    "ride": -0.4,
    "bell": -0.4,
    "crash": 0.5,
    "crash2": -0.6,
    "china": -0.7,
    "splash": 0.2,
    "tom1": 0.35,
    "tom2": 0.1,
    "tom3": -0.3,
    "tom4": -0.6,
    "clap": -0.1,
    "cowbell": 0.3,
    "tambourine": -0.4,
    "shaker": 0.5,
    "conga high": -0.5,
    "conga low": -0.3,
    "tabla high": 0.2,
    "perc": 0.5,
}
_DYNAMICS_DB = {"kick": 18, "hat": 20, "phat": 14, "shat": 16, "ohat": 16, "crash": 18, "crash2": 18, "swirl": 10}
"""Between the hardest and the softest stroke; 28 for the others."""

_ENERGIES_DB = {
    "hat": 21,
    "phat": 20,
    "shat": 26,
    "ohat": 26,
    "ride": 28,
    "bell": 25,
    "crash": 29,
    "crash2": 29,
    "china": 27,
    "splash": 25,
    "shaker": 22,
    "tambourine": 24,
}
"""Energy of a usual stroke whose peak is 1: those that ring longer or are denser are loud at a lower peak."""

_LAYERS = {"kick": 8, "snare": 12, "hat": 10, "ride": 6, "ohat": 5, "shat": 5, "crash": 3, "crash2": 3}
"""Strokes that are loaded of a piece; 4 of others."""


@dataclass(frozen=True)
class Recorded:
    """A stroke in a file, and its room microphones."""

    source: Source
    name: str
    room: str = ""


@dataclass(frozen=True)
class Keyed:
    """A stroke on a sound font's kit."""

    source: Source
    kit: int
    key: int
    velocity: float


@dataclass(frozen=True)
class Made:
    """A synthesised stroke: a machine's, or with a hardness from 0 to 1 on a cymbal of metal."""

    piece: str
    seed: int
    hardness: float | None = None


Stroke = Recorded | Keyed | Made


@dataclass(frozen=True)
class Offer:
    """A maker's pieces.

    Attributes:
        kind: acoustic, snares, brushes, machine or hands.
        pieces: For each piece one or more instruments, each with its strokes from soft to loud.
    """

    kind: str
    pieces: Mapping[str, Sequence[Sequence[Stroke]]]


@dataclass(frozen=True)
class Voice:
    """A piece of the kit, tuned and equalised.

    Attributes:
        sounds: (2, N) strokes from soft to loud, each with peak 1.
        rooms: Of each its room microphones, (2, N), at their level beside it; None without.
        sources: Of each what it is made of.
        gain: Of the hardest stroke.
        dynamics_db: Between the hardest and the softest.
        pan: -1 left to 1 right.
        room_s: How much later the room hears it.
    """

    sounds: Sequence[Float]
    rooms: Sequence[Float | None]
    sources: Sequence[tuple[Source, ...]]
    gain: float
    dynamics_db: float
    pan: float
    room_s: float


def draw_kit(
    kind: str, studio: Studio, song: Song, pieces: Iterable[str], rng: np.random.Generator
) -> dict[str, Voice]:
    """Voices for all the pieces. Where the sources lack one, another or a synthesised one stands in."""
    offers = _list_offers(studio)
    chosen = _choose_strokes(kind, offers, sorted(set(pieces)), rng, made=0.15 if studio.features.fonts else 0.0)
    side = float(rng.choice([-1, 1])) * rng.uniform(0.4, 1.3)  # the drummer's or the listener's view
    width = rng.uniform(0.5, 1.3)
    if rng.random() < 0.07:
        side = width = 0.0
    habits = {
        group: (rng.normal(0, 1.4) * (rng.random() < 0.8), rng.normal(0, 2.0)) for group in (*_GROUPS, "percussion")
    }
    room_s = float(rng.uniform(0.004, 0.014))
    taken: set[tuple[Stroke, ...]] = set()
    voices = {}
    for piece, strokes in chosen.items():
        semitones, more_db = habits[_group_of(piece)]
        if piece.startswith("crash") or _group_of(piece) == "percussion":
            semitones += rng.normal(0, 0.7)
        if tuple(strokes) in taken:  # two toms that are the same recording are tuned apart
            semitones += {"tom1": 3.0, "tom2": 2.0, "tom3": -1.5, "tom4": -3.0}.get(piece, rng.uniform(-2, 2))
        taken.add(tuple(strokes))
        voices[piece] = _prepare(
            piece,
            strokes,
            studio,
            song,
            rng,
            semitones=float(np.clip(semitones, -4, 4)),
            more_db=more_db + rng.normal(0, 1.2),
            side=side,
            width=width,
            room_s=room_s,
        )
    for piece in ("kick", "snare"):
        if piece in voices and rng.random() < {"hybrid": 0.5, "acoustic": 0.12, "machine": 0.2}.get(kind, 0.0):
            makers = [offer for offer in offers if offer.kind in ("machine", "snares", "acoustic")]
            strokes = _find(piece, _shuffled(makers, rng), {}, rng)
            if strokes:
                below = _load(strokes[-1], studio, song, 0.0, 0.5)[0]
                level = np.float32(rng.uniform(0.15, 0.8))
                voices[piece] = _layer(voices[piece], below * level, _source_of(strokes[-1]))
    return voices


def _layer(voice: Voice, other: Float, source: Source) -> Voice:
    """The voice with the same sound under each stroke, as producers do with samples."""
    sounds: list[Float] = []
    for x in voice.sounds:
        both = np.zeros((2, max(x.shape[1], other.shape[1])), np.float32)
        both[:, : x.shape[1]] += x
        both[:, : other.shape[1]] += other
        both /= np.float32(peak(both) + 1e-9)
        sounds.append(both)
    return replace(voice, sounds=sounds, sources=[(*sources, source) for sources in voice.sources])


def _group_of(piece: str) -> str:
    return next((group for group, pieces in _GROUPS.items() if piece in pieces), "percussion")


def _list_offers(studio: Studio) -> list[Offer]:
    """Everything that the library and, if wanted, the sound fonts have."""
    library = studio.library
    offers: list[Offer] = []
    for use, kind in (("drums.acoustic", "acoustic"), ("drums.machine", "machine"), ("drums.hands", "hands")):
        for source in library.sources(use):
            by_maker: dict[str, list[str]] = {}
            for name in library.files(source):
                # Machines have a folder each; of other kits the folders are pieces.
                maker = PurePosixPath(name).parts[0] if kind == "machine" and "/" in name else ""
                by_maker.setdefault(maker, []).append(name)
            offers += [_offer(kind, source, tuple(names)) for names in by_maker.values()]
    for source in library.sources("drums.snares"):
        by_snare: dict[str, list[str]] = {}
        for name in library.files(source):
            by_snare.setdefault(re.sub(r"_s[a-z]_vl.*", "", name), []).append(name)
        for snare, names in by_snare.items():
            offers.append(_offer("brushes" if "brush" in snare else "snares", source, tuple(names)))
    if studio.features.fonts:
        offers += [_font_offer(source, kit) for source in studio.fonts.sources for kit in studio.fonts.kits(source)]
    return [offer for offer in offers if offer.pieces]


@functools.lru_cache(maxsize=1000)
def _offer(kind: str, source: Source, names: tuple[str, ...]) -> Offer:
    there = set(names)
    pieces: dict[str, dict[str, list[Recorded]]] = {}
    for name in sorted(names, key=_loudness_order):
        piece = piece_of(name)
        if not piece:
            continue
        # Strokes on one instrument differ by dynamics and round robin; each file of a machine is an instrument.
        instrument = name if kind == "machine" else re.sub(r"(_[lr])?(_vl\d+)?_rr\d+|\d+-kit$", "", _stem(name))
        room = name.replace("-kit.", "-room.")
        stroke = Recorded(source, name, room if room != name and room in there else "")
        pieces.setdefault(piece, {}).setdefault(instrument, []).append(stroke)
    return Offer(kind, {piece: list(instruments.values()) for piece, instruments in pieces.items()})


@functools.cache
def piece_of(name: str) -> str:
    """What is struck in a file, by its path in its source; "" if it is no stroke, or only its room microphones."""
    stem = _stem(name)
    if stem.endswith("-room"):
        return ""
    return next((piece for pattern, piece in _NAMES if re.search(pattern, stem)), "perc")


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix("")).lower()


def _loudness_order(name: str) -> tuple[int, ...]:
    """Files are numbered from soft to loud, by layer before round robin."""
    return tuple(int(number) for number in re.findall(r"\d+", PurePosixPath(name).stem))[-2:]


def _font_offer(source: Source, kit: int) -> Offer:
    kind = "machine" if kit in _ELECTRONIC_KITS else "brushes" if kit in _BRUSH_KITS else "acoustic"
    velocities = (0.9,) if kind == "machine" else (0.3, 0.5, 0.7, 0.85, 1.0)
    pieces: dict[str, list[list[Stroke]]] = {
        piece: [[Keyed(source, kit, key, velocity) for velocity in velocities] for key in keys]
        for piece, keys in _KEYS.items()
    }
    if kind == "brushes":
        pieces["brush"] = pieces["snare"]
    return Offer(kind, pieces)


def _choose_strokes(
    kind: str, offers: Sequence[Offer], pieces: Sequence[str], rng: np.random.Generator, *, made: float
) -> dict[str, list[Stroke]]:
    """An instrument for each piece. Most come from one kit; some are exchanged, as drummers and producers do.

    A share `made` of machines' pieces, and twice as many shakers and tambourines, are synthesised.
    """
    base_kind = {"hybrid": "acoustic", "hands": "hands"}.get(kind, kind)
    bases = [offer for offer in offers if offer.kind == base_kind]
    recorded = [offer for offer in bases if _is_recorded(offer)]
    if recorded and base_kind == "acoustic" and rng.random() < 0.5:
        bases = recorded  # few kits are recorded stroke by stroke, and they are the best
    snares = [offer for offer in offers if offer.kind == "snares"]
    acoustic = [offer for offer in offers if offer.kind == "acoustic"]
    machines = [offer for offer in offers if offer.kind == "machine"]
    base = _pick(bases or acoustic or offers, rng)
    others: dict[str, Offer | None] = {}
    for group in _GROUPS:
        rivals = machines if kind == "machine" else acoustic
        if kind == "hybrid" and rng.random() < 0.35:
            rivals = machines
        wants_other = rng.random() < (0.45 if kind in ("machine", "hybrid") else 0.2)
        others[group] = _pick(rivals, rng) if wants_other else base
        if group == "snare" and kind in ("acoustic", "hybrid") and snares and rng.random() < 0.4:
            others[group] = _pick(snares, rng)
    # The cymbals of all kits of common sound fonts are the same, so others come in often.
    cast = set()
    if kind in ("acoustic", "hybrid", "brushes"):
        for group in ("hats", "cymbals"):
            if recorded and rng.random() < 0.3:
                others[group] = _pick(recorded, rng)
            if made and rng.random() < 0.25:
                cast.add(group)
    keepers = {"machine": machines, "brushes": acoustic, "hands": offers}.get(kind, acoustic)
    chosen: dict[str, list[Stroke]] = {}
    for piece in pieces:
        group = _group_of(piece)
        makers = [others.get(group, base), base, *_shuffled(keepers if group != "percussion" else offers, rng)]
        if group == "percussion" and kind != "machine" and rng.random() < 0.4:
            makers = makers[2:]
        there = [maker for maker in makers if maker]
        strokes = _find("brush", there[:1], chosen, rng) if kind == "brushes" and piece == "snare" else []
        strokes = strokes or _find(piece, there, chosen, rng)
        is_made = rng.random() < made * {"shaker": 2, "tambourine": 2}.get(piece, float(kind == "machine"))
        if group in cast and piece not in ("shat", "phat"):
            seed = int(rng.integers(1 << 31))
            strokes = [Made(piece, seed, hardness) for hardness in (0.4, 0.7, 1.0)]
        elif is_made or not strokes:
            strokes = [Made(piece, int(rng.integers(1 << 31)))]
        chosen[piece] = strokes
    return chosen


def _is_recorded(offer: Offer) -> bool:
    return any(isinstance(stroke, Recorded) for groups in offer.pieces.values() for stroke in groups[0])


def _pick(offers: Sequence[Offer], rng: np.random.Generator) -> Offer | None:
    return offers[int(rng.integers(len(offers)))] if offers else None


def _shuffled(offers: Sequence[Offer], rng: np.random.Generator) -> list[Offer]:
    return [offers[int(index)] for index in rng.permutation(len(offers))]


def _find(
    piece: str, makers: Sequence[Offer], chosen: Mapping[str, Sequence[Stroke]], rng: np.random.Generator
) -> list[Stroke]:
    """Strokes on the first maker's piece, or on one that is alike on its kit; [] if nobody has any."""
    alike = _ALIKE.get(piece)
    for maker in makers:
        for name in (piece, alike):
            if name and name in maker.pieces:
                instruments = maker.pieces[name]
                taken = list(chosen.get(alike or "", ()))
                fresh = [strokes for strokes in instruments if list(strokes) != taken] or instruments
                return list(fresh[int(rng.integers(len(fresh)))])
    return []


def _prepare(
    piece: str,
    strokes: Sequence[Stroke],
    studio: Studio,
    song: Song,
    rng: np.random.Generator,
    *,
    semitones: float,
    more_db: float,
    side: float,
    width: float,
    room_s: float,
) -> Voice:
    strokes = _some(strokes, _LAYERS.get(piece, 4), rng)
    damping_s = _draw_damping_s(piece, strokes, rng)
    longest_s = min(_LONGEST_S.get(piece, 1.5), 7 * damping_s + 0.05)
    bands = _draw_tone(piece, rng) if studio.features.production else ()
    drive_db = rng.uniform(2, 6) if studio.features.production and rng.random() < 0.25 else 0.0
    sounds: list[Float] = []
    rooms: list[Float | None] = []
    sources: list[tuple[Source, ...]] = []
    for stroke in strokes:
        x, room = _load(stroke, studio, song, semitones, longest_s)
        if x.shape[1] < seconds(0.015):
            continue
        sounds.append(_shape(x / np.float32(peak(x) + 1e-9), bands, damping_s, drive_db, side, width))
        rooms.append(None if room is None else _shape(room, (), 2 * damping_s, 0.0, side, width))
        sources.append((_source_of(stroke),))
    if not sounds:
        return _prepare(
            piece,
            [Made(piece, int(rng.integers(1 << 31)))],
            studio,
            song,
            rng,
            semitones=semitones,
            more_db=more_db,
            side=side,
            width=width,
            room_s=room_s,
        )
    if len(sounds) < 4 and not _is_machine(strokes[0]):
        # No two strokes of a hand are alike.
        varied = [_vary(x, rng) for x in sounds]
        sounds = [x for pair in zip(sounds, varied, strict=True) for x in pair]
        rooms = [room for room in rooms for _ in range(2)]
        sources = [source for source in sources for _ in range(2)]
    # What is recorded in stereo has its place already, but close microphones stand in the middle.
    balance_db = 10 * np.log10((sounds[-1][0] @ sounds[-1][0] + 1e-9) / (sounds[-1][1] @ sounds[-1][1] + 1e-9))
    if piece in _ENERGIES_DB:
        energy_db = 10 * np.log10(float(np.vdot(sounds[-1], sounds[-1])) / 2 + 1e-9)
        more_db -= float(np.clip(0.6 * (energy_db - _ENERGIES_DB[piece]), -6, 6))
    return Voice(
        sounds,
        rooms,
        sources,
        gain=10 ** ((LEVELS_DB[piece] + more_db) / 20),
        dynamics_db=_DYNAMICS_DB.get(piece, 28) * (0.6 if _is_machine(strokes[0]) else 1.0),
        pan=float(np.clip(_PANS.get(piece, 0.0) * side, -0.9, 0.9)) if abs(balance_db) < 2.5 else 0.0,
        room_s=room_s,
    )


def _is_machine(stroke: Stroke) -> bool:
    if isinstance(stroke, Keyed):
        return stroke.kit in _ELECTRONIC_KITS
    if isinstance(stroke, Made):
        return stroke.hardness is None
    return stroke.source.use == "drums.machine"


def _source_of(stroke: Stroke) -> Source:
    return SYNTHESISED if isinstance(stroke, Made) else stroke.source


def _some(strokes: Sequence[Stroke], most: int, rng: np.random.Generator) -> list[Stroke]:
    """At most so many, from soft to loud; those with room microphones if there are enough."""
    with_rooms = [stroke for stroke in strokes if isinstance(stroke, Recorded) and stroke.room]
    if len(with_rooms) >= min(most, 3):
        strokes = with_rooms
    if len(strokes) <= most:
        return list(strokes)
    edges = np.linspace(0, len(strokes), most + 1).astype(int)
    return [strokes[int(rng.integers(low, high))] for low, high in itertools.pairwise(edges)]


def _load(stroke: Stroke, studio: Studio, song: Song, semitones: float, longest_s: float) -> tuple[Float, Float | None]:
    """(1 or 2, N) with peak 1 from its onset on, and its room microphones at their own level beside it.

    Not counted: many are loaded that are never struck.
    """
    if isinstance(stroke, Made):
        rng = np.random.default_rng(stroke.seed)
        if stroke.hardness is None:
            x = synthesise(stroke.piece, song.beat_s, rng)
        else:
            x = synthesise_cymbal(stroke.piece, stroke.hardness, rng)
        x = faster(x, 2 ** (semitones / 12))
        return x / np.float32(peak(x) + 1e-9), None
    if isinstance(stroke, Keyed):
        note = Note(0.0, 0.3, stroke.key, stroke.velocity)
        part = Part([note], stroke.kit, is_drums=True)
        x = studio.fonts.render(stroke.source, [part], longest_s, counted=False)
        x = faster(_from_onset(x), 2 ** (semitones / 12))
        return x / np.float32(peak(x) + 1e-9), None
    hit = functools.partial(studio.library.hit, semitones=semitones, longest_s=longest_s, counted=False)
    x = hit(stroke.source, stroke.name)
    if not stroke.room:
        return x, None
    beside = peak(studio.library.read(stroke.source, stroke.room)) / (
        peak(studio.library.read(stroke.source, stroke.name)) + 1e-9
    )
    return x, hit(stroke.source, stroke.room) * np.float32(min(beside, 2.0))


def _from_onset(x: Float) -> Float:
    highest = peak(x)
    if highest < 1e-4:
        return x[:, :0]
    loud = np.abs(x).max(axis=0) > 0.03 * highest
    quiet = np.abs(x[:, ::-1]).max(axis=0) > 3e-4 * highest
    x = x[:, max(0, int(np.argmax(loud)) - 60) : x.shape[1] - int(np.argmax(quiet))]
    return fade(x / np.float32(highest), start=40, end=min(400, x.shape[1] // 2))


def _shape(x: Float, bands: Sequence[Band], damping_s: float, drive_db: float, side: float, width: float) -> Float:
    """(2, N): damped, equalised, driven and placed."""
    loudest = peak(x)
    if damping_s < 5:
        times = np.arange(x.shape[1], dtype=np.float32) / RATE
        x = x * np.exp(-np.maximum(times - 0.03, 0) / np.float32(damping_s))
    x = fade(x, end=min(800, x.shape[1] // 3))
    if len(x) == 2:
        middle = x.mean(axis=0, keepdims=True)
        x = middle + (x - middle) * np.float32(width * (1 if side >= 0 else -1))
    if bands:
        x = equalise(x, bands)
    if drive_db:
        x = saturate(x * np.float32(loudest / (peak(x) + 1e-9)), drive_db, kind="tanh")
    return stereo(x * np.float32(loudest / (peak(x) + 1e-9)))


def _vary(x: Float, rng: np.random.Generator) -> Float:
    """Nearly the same stroke: a little higher or lower, and brighter or darker."""
    x = faster(x, 2 ** (rng.normal(0, 0.12) / 12))
    low = lowpass(x, 2500, order=1)
    x = low + (x - low) * np.float32(10 ** (rng.normal(0, 1.2) / 20))
    return x / np.float32(peak(x) + 1e-9)


def _draw_damping_s(piece: str, strokes: Sequence[Stroke], rng: np.random.Generator) -> float:
    """Time constant of the shortening of a piece; 9 leaves it as it is."""
    if piece == "shat" and not any(isinstance(s, Recorded) and re.search(r"(^|/)h[hl]_vl", s.name) for s in strokes):
        return float(rng.uniform(0.1, 0.25))  # an open hi-hat that is held half closed
    if rng.random() < 0.5:
        return 9.0
    shortest, longest = {
        "kick": (0.06, 0.25),
        "snare": (0.06, 0.3),
        "toms": (0.15, 0.6),
        "hats": (0.08, 0.5),
        "cymbals": (0.5, 1.5),
    }.get(_group_of(piece), (0.1, 0.6))
    return log_uniform(rng, shortest, longest)


def _draw_tone(piece: str, rng: np.random.Generator) -> tuple[Band, ...]:
    """What an engineer turns on the channel of a piece."""

    def gain(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def hz(low: float, high: float) -> float:
        return log_uniform(rng, low, high)

    group = _group_of(piece)
    if rng.random() < 0.2:
        return ()
    if group == "kick":
        return (
            Band("peak", hz(48, 95), gain(-3, 6), 1.0),
            Band("peak", hz(220, 600), gain(-9, 1), 1.0),
            Band("peak", hz(2200, 5500), gain(-4, 9), 0.9),
            Band("high", hz(6000, 11000), gain(-8, 3)),
        )
    if group == "snare":
        return (
            Band("peak", hz(150, 260), gain(-4, 6), 1.0),
            Band("peak", hz(350, 1000), gain(-7, 3), 1.5),
            Band("peak", hz(1800, 5500), gain(-3, 6), 0.8),
            Band("high", hz(6000, 10000), gain(-4, 6)),
        )
    if group == "toms":
        return (
            Band("peak", hz(70, 170), gain(-2, 6), 1.0),
            Band("peak", hz(280, 700), gain(-8, 1), 1.0),
            Band("peak", hz(2500, 6000), gain(-3, 7), 0.8),
        )
    if group in ("hats", "cymbals"):
        return (
            Band("low", hz(250, 900), gain(-12, 0)),
            Band("peak", hz(2500, 6000), gain(-6, 3), 0.8),
            Band("high", hz(7000, 12000), gain(-5, 5)),
        )
    return (Band("low", hz(150, 500), gain(-6, 2)), Band("high", hz(4000, 9000), gain(-5, 5)))


def synthesise(piece: str, beat_s: float, rng: np.random.Generator) -> Float:
    """(1, N) of a stroke as drum machines make it."""
    if piece in ("kick", "stomp", "tom1", "tom2", "tom3", "tom4", "tabla low"):
        return _membrane(piece, rng)
    if piece in ("conga high", "conga low", "tabla high", "perc", "rim", "cowbell"):
        return _block(piece, rng)
    if piece in ("snare", "brush"):
        body = _ringing([rng.uniform(160, 220), rng.uniform(280, 380)], [0.7, 0.4], rng.uniform(0.04, 0.12), 0.6)
        return _sum(
            body, _noise(rng, 0.6, rng.uniform(0.04, 0.14), rng.uniform(900, 3000), 14000), rng.uniform(0.3, 1.2)
        )
    if piece == "clap":
        return _clap(rng)
    if piece == "shaker":
        grains = _noise(rng, 0.2, rng.uniform(0.02, 0.05), rng.uniform(3000, 6000), 16000)
        return fade(grains, start=seconds(rng.uniform(0.006, 0.02)))
    if piece == "swirl":
        hiss = _noise(rng, 1.9 * beat_s, 1e3, rng.uniform(900, 2500), rng.uniform(6000, 11000))
        return hiss * (np.hanning(hiss.shape[1]) ** rng.uniform(0.6, 1.5)).astype(np.float32)
    decay_s = {"hat": 0.03, "phat": 0.025, "tambourine": 0.06, "shat": 0.12, "ohat": 0.22, "splash": 0.3}.get(
        piece, 0.7
    )
    return _metal(rng, decay_s * rng.uniform(0.6, 1.5), is_tonal=piece in ("ride", "bell"))


def _ringing(hertz: Sequence[float], weights: Sequence[float], decay_s: float, length_s: float) -> Float:
    times = np.arange(seconds(length_s)) / RATE
    tones = sum(weight * np.sin(2 * np.pi * f * times) for f, weight in zip(hertz, weights, strict=True))
    return np.asarray(tones * np.exp(-times / decay_s), np.float32)[None]


def _noise(rng: np.random.Generator, length_s: float, decay_s: float, low_hz: float, high_hz: float) -> Float:
    x = rng.standard_normal((1, seconds(length_s)), np.float32)
    x = lowpass(highpass(x, low_hz), high_hz)
    times = np.arange(x.shape[1], dtype=np.float32) / RATE
    return x * np.exp(-times / np.float32(decay_s)) / np.float32(3)


def _sum(a: Float, b: Float, share: float) -> Float:
    out = np.zeros((1, max(a.shape[1], b.shape[1])), np.float32)
    out[:, : a.shape[1]] += a
    out[:, : b.shape[1]] += np.float32(share) * b
    return fade(out, end=400)


def _membrane(piece: str, rng: np.random.Generator) -> Float:
    """A sine that falls to its pitch, with a click."""
    low, high = {
        "kick": (42, 62),
        "stomp": (50, 80),
        "tom1": (150, 220),
        "tom2": (120, 170),
        "tom3": (90, 130),
        "tom4": (65, 95),
        "tabla low": (70, 110),
    }[piece]
    end_hz, decay_s = rng.uniform(low, high), rng.uniform(0.08, 0.3)
    times = np.arange(seconds(min(1.2, 6 * decay_s))) / RATE
    hertz = end_hz * (1 + rng.uniform(0.5, 4.0) * np.exp(-times / rng.uniform(0.01, 0.05)))
    tone = np.sin(2 * np.pi * np.cumsum(hertz) / RATE) * np.exp(-times / decay_s)
    tone = np.tanh(tone * rng.uniform(1, 3)).astype(np.float32)[None]
    return _sum(tone, _noise(rng, 0.03, 0.004, 1000, 9000), rng.uniform(0.0, 1.5))


def _block(piece: str, rng: np.random.Generator) -> Float:
    """A struck or hollow thing with few partials."""
    low, high, decay_s = {
        "conga high": (280, 380, 0.09),
        "conga low": (180, 250, 0.14),
        "tabla high": (300, 420, 0.2),
        "perc": (700, 2200, 0.03),
        "rim": (1500, 1900, 0.012),
        "cowbell": (520, 620, 0.12),
    }[piece]
    first = rng.uniform(low, high)
    ratio = 1.48 if piece == "cowbell" else rng.uniform(1.5, 2.8)
    tone = _ringing([first, first * ratio, first * ratio * 1.9], [1, 0.6, 0.3], decay_s * rng.uniform(0.7, 1.4), 0.7)
    if piece == "cowbell":
        tone = np.tanh(3 * tone)
    return _sum(tone, _noise(rng, 0.05, 0.006, 800, 7000), rng.uniform(0.1, 0.8))


def _clap(rng: np.random.Generator) -> Float:
    """Several hands, one after the other, and the room."""
    centre = rng.uniform(1000, 1800)
    out = _noise(rng, 0.5, rng.uniform(0.05, 0.12), 0.7 * centre, 3.5 * centre)
    for index in range(int(rng.integers(2, 5))):
        start = seconds(0.009 * (index + 1) * rng.uniform(0.7, 1.3))
        burst = _noise(rng, 0.03, 0.005, 0.7 * centre, 3.5 * centre)
        out[:, start : start + burst.shape[1]] += 1.5 * burst
    return fade(out, end=400)


def _metal(rng: np.random.Generator, decay_s: float, *, is_tonal: bool) -> Float:
    """Six square waves that do not fit together, without their lower partials."""
    times = np.arange(seconds(min(4.0, 5 * decay_s))) / RATE
    base = rng.uniform(180, 420)
    ratios = np.array([1, 1.304, 1.466, 1.787, 1.932, 2.536]) * rng.uniform(0.95, 1.05, 6)
    x = sum(signal.square(2 * np.pi * base * ratio * times) for ratio in ratios)
    x = np.asarray(x, np.float32)[None] / 6 + rng.standard_normal((1, len(times)), np.float32) * np.float32(
        rng.uniform(0.1, 0.8) * (0.3 if is_tonal else 1)
    )
    x = highpass(x, rng.uniform(2500, 4500) if is_tonal else rng.uniform(5000, 8500), order=3)
    return fade(x * np.exp(-times / decay_s).astype(np.float32), end=600)


_CYMBALS = {  # time constant in seconds, share of single partials, where the spectrum is strongest in Hz
    "hat": (0.045, 0.1, 7000),
    "phat": (0.035, 0.15, 5500),
    "shat": (0.2, 0.1, 6000),
    "ohat": (0.45, 0.15, 6000),
    "ride": (1.1, 0.6, 3500),
    "bell": (0.9, 1.5, 2500),
    "crash": (0.9, 0.2, 3500),
    "crash2": (1.1, 0.2, 3000),
    "china": (0.5, 0.1, 2500),
    "splash": (0.3, 0.15, 5000),
}


def synthesise_cymbal(piece: str, hardness: float, rng: np.random.Generator) -> Float:
    """(1, N) of a cymbal: partials so dense that they are noise, each octave with its own decay, and some that ring.

    The same generator state gives the same cymbal at every hardness; soft strokes are darker.
    """
    usual_s, ringing, usual_hz = _CYMBALS[piece]
    decay_s, top_hz = usual_s * rng.uniform(0.6, 1.5), usual_hz * rng.uniform(0.7, 1.4)
    n_samples = seconds(min(4.0, 5 * decay_s + 0.05))
    n_fft = fft.next_fast_len(n_samples, real=True)
    times = np.arange(n_samples, dtype=np.float32) / np.float32(RATE)
    spectrum = fft.rfft(rng.standard_normal(n_fft, np.float32))
    # Narrow peaks ring.
    n_wide = max(1, round(rng.uniform(2, 6) * n_fft / RATE))
    peaks = ndimage.uniform_filter1d(rng.standard_normal(len(spectrum), np.float32), n_wide) * np.float32(n_wide**0.5)
    spectrum *= np.exp(np.float32(rng.uniform(0.8, 1.8)) * peaks)
    octaves = np.log2(np.maximum(np.arange(len(spectrum)), 1) * RATE / n_fft / top_hz)
    steep_low, steep_high = rng.uniform(4, 9), rng.uniform(2, 6) + 7 * (1 - hardness)
    x = np.zeros(n_samples, np.float32)
    for octave in range(-4, 3):
        share = np.maximum(1 - np.abs(octaves - octave), 0) if octave < 2 else np.clip(octaves - 1, 0, 1)
        level_db = -(steep_low * max(-octave, 0) + steep_high * max(octave, 0)) + rng.uniform(-3, 3)
        own_s = np.float32(decay_s * 2 ** (-0.3 * octave) * rng.uniform(0.8, 1.2))
        burst = rng.uniform(0.3, 0.8)  # what dies away at once, after the stroke
        decay = burst * np.exp(-times / (np.float32(0.12) * own_s)) + (1 - burst) * np.exp(-times / own_s)
        band = fft.irfft(spectrum * share.astype(np.float32), n_fft)[:n_samples]
        x += band * decay * np.float32(10 ** (level_db / 20))
    hertz = np.exp(rng.uniform(np.log(280), np.log(5500), 14)) * (0.6 if piece == "bell" else 1.0)
    x *= np.float32(1 / (np.abs(x).max() + 1e-9))
    for f, weight, age in zip(hertz, rng.exponential(1.0, 14), rng.uniform(0.6, 1.6, 14), strict=True):
        tone = np.sin(np.float32(2 * np.pi * f) * times) * np.exp(-times / np.float32(age * decay_s))
        x += tone * np.float32(0.05 * ringing * weight)
    return fade(lowpass(x[None], rng.uniform(8000, 17000)), end=min(2000, n_samples // 3))
