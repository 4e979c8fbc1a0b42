"""A folder of songs, made one by one: it can be stopped at any time, goes on where it was, and is never half there.

The layout is that of every data set here: `OUT/train/00017/{vocals,drums,bass,other}.flac`, and `OUT/valid/...` of
sources that no training song has. Beside the stems `song.json` says what the song is made of. `OUT/build.json` says how
the folder is made, `OUT/manifest.json` and `OUT/CREDITS.md` what of.
"""

from __future__ import annotations

import errno
import functools
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from dttnet.audio import write_audio
from dttnet.dataset import STEMS
from dttnet.errors import AudioError, DttnetError, UsageError
from dttnet.files import whole_file
from dttnet.songs.arrange import Take, render_song
from dttnet.songs.fonts import Fonts, load_player
from dttnet.songs.library import SYNTHESISED, USES, Library, Source, read_catalogue
from dttnet.songs.signals import RATE
from dttnet.songs.studio import Features, Studio
from dttnet.songs.styles import STYLES
from dttnet.workers import UNBROKEN, worker_pool

VERSION = 8
"""Of the songs: one more whenever the same seed gives other songs."""

BUILD = "build.json"
MANIFEST = "manifest.json"
CREDITS = "CREDITS.md"
SONG = "song.json"

_SPLITS = ("train", "valid")
_BYTES_PER_SONG = 15e6
"""On average, as FLAC: a minute of four stems."""

_LEFT_OVER_S = 3600
"""A hidden folder that old is nobody's work any more: a song takes seconds to write."""

_NEEDED = {
    "vocals": ("voice.sung", "voice.vowels", "voice.phrases", "voice.speech"),
    "drums": ("drums.acoustic", "drums.machine"),
    "bass": ("bass.notes", "soundfont"),
    "other": ("other.guitar", "other.piano", "soundfont"),
}
"""One of these must be there for each stem."""


@dataclass(frozen=True)
class Job:
    """One song to make."""

    split: str
    number: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.number:05d}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a folder of songs is made.

    Attributes:
        sources: The folder of the sources.
        out: Where the songs go.
        n_songs: How many there shall be in the training split, those that are there included.
        n_valid: The same, of the validation split.
        seed: Song i of a split depends on it, i, the features, the styles and the sources alone.
        features: What songs have.
        styles: What songs are in; none are all.
        soundfonts: Files; none are those installed in the system.
    """

    sources: Path
    out: Path
    n_songs: int
    n_valid: int = 0
    seed: int = 0
    features: Features = field(default_factory=Features)
    styles: tuple[str, ...] = ()
    soundfonts: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if self.n_songs < 0 or self.n_valid < 0 or not self.n_songs + self.n_valid:
            raise UsageError(f"{self.n_songs} songs and {self.n_valid} to validate with: ask for at least one")
        if self.seed < 0:
            raise UsageError(f"the seed is {self.seed}: give 0 or more")
        unknown = [style for style in self.styles if style not in STYLES]
        if unknown:
            raise UsageError(f"{', '.join(unknown)} is no style of songs; there are {', '.join(STYLES)}")

    def jobs(self) -> list[Job]:
        """The songs that are not there yet."""
        counts = zip(_SPLITS, (self.n_songs, self.n_valid), strict=True)
        jobs = [Job(split, number) for split, count in counts for number in range(count)]
        return [job for job in jobs if not (self.out / job.split / job.name).is_dir()]


def open_studio(plan: Plan, split: str) -> Studio:
    """The sources of a split.

    Raises:
        UsageError: A stem has none.
    """
    library = Library(plan.sources, soundfonts=plan.soundfonts, held_out=split == "valid")
    for stem, uses in _NEEDED.items():
        if not any(library.sources(use) for use in uses):
            kinds = " or ".join(USES[use] for use in uses)
            raise UsageError(
                f"{plan.sources}: nothing to make {stem} of for the split {split!r}; add {kinds}"
                + ", with held_out in sources.yaml" * (split == "valid")
            )
    if plan.features.fonts:
        load_player()
    if plan.features.fonts and not library.sources("soundfont"):
        raise UsageError(
            "no sound font is installed: on Debian and Ubuntu, apt-get install fluid-soundfont-gm "
            "musescore-general-soundfont; or name files with --soundfont, or leave them out with --without fonts"
        )
    return Studio(library, Fonts(library), plan.features)


def build(plan: Plan, *, n_workers: int, report: Callable[[Job, float], None]) -> dict[str, Any]:
    """Make what is not there yet; returns the manifest.

    Args:
        report: Called with each song that is done, and its length in seconds.

    Raises:
        UsageError: The folder was made otherwise, has no room or is somebody else's.
        AudioError: A source cannot be read, or a song cannot be written. The songs that were done stay.
    """
    studios = {split: open_studio(plan, split) for split in _SPLITS if split == "train" or plan.n_valid}
    _claim(plan, {split: studio.library.fingerprint() for split, studio in studios.items()})
    jobs = plan.jobs()
    _require_room(plan.out, len(jobs))
    try:
        _make(plan, jobs, n_workers=n_workers, report=report)
    finally:
        # All of the catalogue: a split that is not asked for now may be there already.
        known = {source.id: source for source in [*read_catalogue(plan.sources), SYNTHESISED]}
        manifest = summarise(plan.out, known)
    return manifest


def _make(plan: Plan, jobs: Sequence[Job], *, n_workers: int, report: Callable[[Job, float], None]) -> None:
    if n_workers == 1 or len(jobs) < 2:
        for job in jobs:
            report(job, _attempt(plan, job))
        return
    with worker_pool(min(n_workers, len(jobs))) as pool:
        futures = {pool.submit(_attempt, plan, job): job for job in jobs}
        for future in as_completed(futures):
            try:
                report(futures[future], future.result())
            except BrokenProcessPool as error:
                raise DttnetError(
                    f"{plan.out}: a worker process died, maybe for lack of memory: use fewer --workers, and run the "
                    "same command again to go on"
                ) from error


def _attempt(plan: Plan, job: Job) -> float:
    return make_song(plan, job, _studio(plan, job.split))


@functools.cache
def _studio(plan: Plan, split: str) -> Studio:
    """One for each worker process and split: sound fonts take seconds to load."""
    return open_studio(plan, split)


def make_song(plan: Plan, job: Job, studio: Studio) -> float:
    """Render a song into its folder, which appears whole; returns its length in seconds, without what rings after it.

    Raises:
        AudioError: It cannot be written, or a source cannot be read.
    """
    seed = np.random.SeedSequence([plan.seed, _SPLITS.index(job.split), job.number])
    try:
        take = render_song(studio, np.random.default_rng(seed), styles=plan.styles)
    except Exception as error:  # whatever it is: raised again, with what makes the same song again
        error.add_note(f"while making {job.split}/{job.name} with seed {plan.seed}")
        raise
    folder = plan.out / job.split / job.name
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with UNBROKEN, TemporaryDirectory(prefix=".dttnet-", dir=plan.out) as hidden:
            partial = Path(hidden) / job.name
            partial.mkdir()
            for stem, audio in take.stems.items():
                write_audio(partial / f"{stem}.flac", audio, sample_rate=RATE)
            (partial / SONG).write_text(json.dumps(_describe(take), indent=1) + "\n", encoding="utf-8")
            partial.rename(folder)
    except OSError as error:
        if folder.is_dir():  # another process made the same song meanwhile
            return take.song.duration_s
        hint = "; the songs that are done stay: make room and run the same command again" * (
            error.errno == errno.ENOSPC
        )
        raise AudioError(f"{folder}: cannot be written ({error.strerror or error}){hint}") from error
    return take.song.duration_s


def _describe(take: Take) -> dict[str, Any]:
    song = take.song
    plan = {
        "style": song.style,
        "beats_per_minute": round(60 / song.beat_s, 2),
        "metre": song.metre,
        "key": song.key,
        "is_minor": song.is_minor,
        "sections": [[section.name, section.first_bar, section.n_bars] for section in song.sections],
    }
    return {
        "kind": "album" if take.is_album else "made",
        "duration_s": round(next(iter(take.stems.values())).shape[1] / RATE, 3),
        **({} if take.is_album else plan),
        "sources": {
            stem: {name: round(duration_s, 2) for name, duration_s in sorted(used.items())}
            for stem, used in take.used.items()
        },
    }


def _claim(plan: Plan, fingerprints: Mapping[str, Any]) -> None:
    """Make the folder ours, or see that it is, and made in the same way."""
    wanted = {
        "version": VERSION,
        "seed": plan.seed,
        "features": asdict(plan.features),
        "styles": sorted(plan.styles),
        "sources": dict(fingerprints),
    }
    path = plan.out / BUILD
    if not path.is_file():
        if plan.out.exists() and (not plan.out.is_dir() or any(plan.out.iterdir())):
            raise UsageError(f"{plan.out} is there already and was not made by this command: choose another folder")
        plan.out.mkdir(parents=True, exist_ok=True)
    else:
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UsageError(f"{path} is damaged ({error}): choose another folder") from error
        made_of = there.get("sources", {})
        different = [name for name in ("version", "seed", "features", "styles") if there.get(name) != wanted[name]]
        # A folder may get a validation split later, or go on without one.
        different += ["sources"] * any(made_of.get(split, of) != of for split, of in fingerprints.items())
        wanted["sources"] = {**made_of, **fingerprints}
        if different:
            raise UsageError(
                f"{plan.out} was made with other {', '.join(different)} (see {path}): use the same, or another folder"
            )
        # What a killed process left; what is younger may be a song that another one is writing.
        for left in plan.out.glob(".dttnet-*"):
            if left.stat().st_mtime < time.time() - _LEFT_OVER_S:
                shutil.rmtree(left, ignore_errors=True)  # what cannot be removed is in nobody's way
    with whole_file(path) as partial:
        partial.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")


def _require_room(out: Path, n_songs: int) -> None:
    needed, free = n_songs * _BYTES_PER_SONG, shutil.disk_usage(out).free
    if needed > free:
        raise UsageError(
            f"{out}: {n_songs} songs need about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free: make room, or "
            "ask for fewer"
        )


def summarise(out: Path, sources: Mapping[str, Source]) -> dict[str, Any]:
    """Write and return the manifest: what the songs that are there are made of, and what share each source has.

    A source's share of a stem is its part of all the seconds that were taken for that stem.
    """
    totals: dict[str, dict[str, dict[str, float]]] = {}
    splits: dict[str, dict[str, float]] = {}
    for split in _SPLITS:
        songs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((out / split).glob(f"*/{SONG}"))]
        if not songs:
            continue
        splits[split] = {"songs": len(songs), "hours": round(sum(song["duration_s"] for song in songs) / 3600, 3)}
        for song in songs:
            for stem, used in song["sources"].items():
                for name, duration_s in used.items():
                    stems = totals.setdefault(name, {}).setdefault(split, dict.fromkeys(STEMS, 0.0))
                    stems[stem] += duration_s
    sums = {
        (split, stem): sum(by_split.get(split, {}).get(stem, 0.0) for by_split in totals.values())
        for split in splits
        for stem in STEMS
    }
    manifest = {
        "splits": splits,
        "sources": {
            name: {
                **_facts(sources[name]),
                "share": {
                    split: {stem: round(stems[stem] / sums[split, stem], 4) for stem in STEMS if stems[stem]}
                    for split, stems in by_split.items()
                },
            }
            for name, by_split in sorted(totals.items())
        },
    }
    with whole_file(out / MANIFEST) as partial:
        partial.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    with whole_file(out / CREDITS) as partial:
        partial.write_text(_credits(manifest), encoding="utf-8")
    return manifest


def _facts(source: Source) -> dict[str, str]:
    names = ("use", "title", "author", "url", "commit", "licence", "terms")
    return {name: getattr(source, name) for name in names if getattr(source, name)}


def _credits(manifest: Mapping[str, Any]) -> str:
    """The manifest as a page to hand on with what is made of the songs."""
    counts = [
        f"{split}: {facts['songs']} songs, {facts['hours']:.2f} hours." for split, facts in manifest["splits"].items()
    ]
    return credits_page("What these songs are made of", counts, manifest["sources"])


def credits_page(title: str, counts: Sequence[str], sources: Mapping[str, Any]) -> str:
    """Whose the sources are, by the entries of a manifest, below a title and lines on how much was made."""
    lines = [f"# {title}", "", *counts]
    lines += ["", "| source | author | licence | share of the seconds of each stem |", "|---|---|---|---|"]
    for source in sources.values():
        shares = "; ".join(
            f"{split} " + ", ".join(f"{stem} {share:.1%}" for stem, share in stems.items())
            for split, stems in source["share"].items()
        )
        licence = source["licence"] + (f": {source['terms']}" if "terms" in source else "")
        name = source["title"]
        if "url" in source:
            places = ", ".join(f"[{place}]({place})" for place in source["url"].split(", "))
            name = f"{name}: {places} {source.get('commit', '')}".strip()
        lines.append(f"| {name} | {source['author']} | {licence} | {shares} |")
    return "\n".join(lines) + "\n"
