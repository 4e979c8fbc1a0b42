"""An open set of clips of sounds that separators mistake, in the form that `dttnet patterns build` reads.

`OUT/CLASS/017.wav` are the clips, 24 bits, 44.1 kHz, stereo; `OUT/classes.yaml` says which stem each class belongs to,
`OUT/manifest.json` and `OUT/CREDITS.md` what they are made of.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dttnet.audio import AudioInfo, Encoding, StemWriter
from dttnet.dataset import STEMS
from dttnet.errors import DttnetError, UsageError
from dttnet.patterns import CLASSES
from dttnet.songs.build import CREDITS, MANIFEST, credits_page
from dttnet.songs.clip_kinds import KINDS, Kind, make_clip
from dttnet.songs.fonts import Fonts, load_player
from dttnet.songs.library import SYNTHESISED, USES, Library
from dttnet.songs.signals import RATE, Float
from dttnet.songs.studio import Features, Studio
from dttnet.workers import UNBROKEN, worker_pool

FEWEST = 3
"""Clips of a class: `dttnet patterns build` divides them into three."""

_USES = tuple(use for use in USES if use != "album")
"""Songs of the album are for training and tests of their own."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a set of clips is made.

    Attributes:
        sources: The folder of the sources, as for `dttnet data build-open`.
        out: What becomes the folder of the clips; must not be there.
        n_clips: Of each class.
        seed: Clip i of a class depends on it, the class, i and the sources alone.
        soundfonts: Files; none are those installed in the system.
    """

    sources: Path
    out: Path
    n_clips: int = 60
    seed: int = 0
    soundfonts: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if self.n_clips < FEWEST:
            raise UsageError(f"{self.n_clips} clips of each class: ask for at least {FEWEST}")
        if self.seed < 0:
            raise UsageError(f"the seed is {self.seed}: give 0 or more")


def open_studio(plan: Plan) -> Studio:
    """The sources.

    Raises:
        UsageError: A class has none.
        DeviceError: What plays sound fonts is not installed.
    """
    library = Library(plan.sources, soundfonts=plan.soundfonts, only=_USES)
    for kind in KINDS:
        for uses in kind.needs:
            if any(library.sources(use) for use in uses):
                continue
            if "soundfont" in uses:
                raise UsageError(
                    f"no sound font to make {kind.name} of is installed: on Debian and Ubuntu, apt-get install "
                    "fluid-soundfont-gm musescore-general-soundfont; or name files with --soundfont"
                )
            raise UsageError(
                f"{plan.sources}: nothing to make {kind.name} of; add {' or '.join(USES[use] for use in uses)}"
            )
    if library.sources("soundfont"):
        load_player()
    return Studio(library, Fonts(library), Features())


def build(plan: Plan, *, n_workers: int, report: Callable[[str, int], None] = lambda *_: None) -> dict[str, Any]:
    """Make the clips; returns the manifest. The folder appears whole or not at all.

    Args:
        report: Called with the class and the number of each clip that is done.

    Raises:
        UsageError: The folder is there already, or sources are missing.
        AudioError: A source cannot be read, or a clip cannot be written.
    """
    if os.path.lexists(plan.out):
        raise UsageError(f"{plan.out}: is there; give a folder that is not, or remove it")
    studio = open_studio(plan)
    jobs = [(kind.name, number) for kind in KINDS for number in range(plan.n_clips)]
    plan.out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".dttnet-", dir=plan.out.parent) as folder:
        made = Path(folder) / plan.out.name
        clips = _make(plan, made, jobs, n_workers=n_workers, report=report)
        manifest = _summarise(plan, studio.library, clips)
        (made / CLASSES).write_text("".join(_class_line(kind) for kind in KINDS), encoding="utf-8")
        (made / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (made / CREDITS).write_text(_credits(manifest), encoding="utf-8")
        made.rename(plan.out)
    return manifest


def _make(
    plan: Plan, made: Path, jobs: Sequence[tuple[str, int]], *, n_workers: int, report: Callable[[str, int], None]
) -> dict[str, list[dict[str, Any]]]:
    """Write all clips; what there is to say about each, by class and in their order."""
    facts: dict[tuple[str, int], dict[str, Any]] = {}
    if n_workers == 1:
        for job in jobs:
            facts[job] = _attempt(plan, made, *job)
            report(*job)
    else:
        with worker_pool(min(n_workers, len(jobs))) as pool:
            futures = {pool.submit(_attempt, plan, made, *job): job for job in jobs}
            for future in as_completed(futures):
                try:
                    facts[futures[future]] = future.result()
                except BrokenProcessPool as error:
                    raise DttnetError(
                        f"{plan.out}: a worker process died, maybe for lack of memory: use fewer --workers"
                    ) from error
                report(*futures[future])
    return {kind.name: [facts[kind.name, number] for number in range(plan.n_clips)] for kind in KINDS}


def _attempt(plan: Plan, made: Path, name: str, number: int) -> dict[str, Any]:
    """Make and write a clip."""
    kind = next(kind for kind in KINDS if kind.name == name)
    try:
        clip = make_clip(_studio(plan), kind, number, plan.seed)
    except Exception as error:  # whatever it is: raised again, with what makes the same clip again
        error.add_note(f"while making {name} {number} with seed {plan.seed}")
        raise
    file = f"{name}/{number:03}.wav"
    with UNBROKEN:
        _write(made / file, clip.audio)
    return {"file": file, **clip.facts, "duration_s": round(clip.audio.shape[1] / RATE, 2), "sources": clip.used}


@functools.lru_cache(maxsize=1)
def _studio(plan: Plan) -> Studio:
    """One for each process: sound fonts take seconds to load."""
    return open_studio(plan)


def _write(path: Path, audio: Float) -> None:
    info = AudioInfo(sample_rate=RATE, n_channels=2, n_samples=None, subtype="PCM_24")
    with StemWriter({"audio": path}, Encoding(depth="int24"), info) as writer:
        writer.write({"audio": audio})
        writer.finish()


def _class_line(kind: Kind) -> str:
    return f"{kind.name}: {{stem: {kind.stem}, reverses: true}}\n" if kind.reverses else f"{kind.name}: {kind.stem}\n"


def _summarise(plan: Plan, library: Library, clips: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """The manifest: each clip, and each source with its licence and its share of the seconds of each stem."""
    totals: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        for clip in clips[kind.name]:
            for source, used_s in clip["sources"].items():
                totals.setdefault(source, dict.fromkeys(STEMS, 0.0))[kind.stem] += used_s
    sums = {stem: sum(by_stem[stem] for by_stem in totals.values()) for stem in STEMS}
    known = {source.id: source for source in [*library.all_sources, SYNTHESISED]}
    names = ("use", "title", "author", "url", "commit", "licence", "terms")
    return {
        "seed": plan.seed,
        "classes": {kind.name: {"stem": kind.stem, "reverses": kind.reverses} for kind in KINDS},
        "sources": {
            source: {
                **{name: getattr(known[source], name) for name in names if getattr(known[source], name)},
                "share": {"clips": {stem: round(used_s / sums[stem], 4) for stem, used_s in by_stem.items() if used_s}},
            }
            for source, by_stem in sorted(totals.items())
        },
        "clips": {name: [dict(clip) for clip in some] for name, some in clips.items()},
    }


def _credits(manifest: Mapping[str, Any]) -> str:
    n_clips = sum(len(some) for some in manifest["clips"].values())
    counts = [f"{n_clips} clips of {len(manifest['clips'])} classes."]
    return credits_page("What these clips are made of", counts, manifest["sources"])
