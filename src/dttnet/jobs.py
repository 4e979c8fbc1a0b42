"""Which files to read and where to write: inputs from files, folders and globs, outputs from a template.

Everything is decided before any work starts, so that two songs never write to the same file. What may not be looked at
counts as not there (`os.path` says so, where `Path` would raise): reading it then tells why.
"""

from __future__ import annotations

import itertools
import os
import re
import string
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dttnet.audio import AUDIO_SUFFIXES
from dttnet.errors import UsageError
from dttnet.files import without_links

DEFAULT_TEMPLATE = "{track}/{stem}.{ext}"
_MAGIC = re.compile(r"[*?\[]")
_FIELDS = frozenset({"track", "stem", "ext", "model"})


@dataclass(frozen=True, kw_only=True)
class Job:
    """One song: where it is and the file of each stem."""

    source: Path
    outputs: dict[str, Path]

    @property
    def is_done(self) -> bool:
        return all(os.path.exists(path) for path in self.outputs.values())


def find_inputs(arguments: Sequence[str], *, leave_out: Sequence[Path] = ()) -> list[Path]:
    """Files as they are named; the audio files of folders, with those below; what globs match. In order, each once.

    Links to folders are not followed: they may lead back. A folder that may not be searched stands for what is in it.

    Args:
        arguments: Of the command line.
        leave_out: Folders for outputs: what is in one is no input, unless it is named or searched itself.

    Raises:
        UsageError: A folder or a glob has no audio file. Files that are not there are left for the work to report.
    """
    found: dict[Path, Path] = {}
    for argument in arguments:
        path = Path(argument)
        if os.path.isdir(path):
            files = _outside(leave_out, path, _search(path))
            if not files:
                raise UsageError(f"{argument}: the folder holds no audio files")
        elif not os.path.exists(path) and _MAGIC.search(argument):
            searched = Path(*itertools.takewhile(lambda part: not _MAGIC.search(part), path.parts))
            files = _outside(leave_out, searched, [file for file in _match(path) if os.path.isfile(file)])
            if not files:
                raise UsageError(f"{argument}: no file matches")
        else:
            files = [path]
        for file in files:
            # One file by two ways is one song, but a link with another name is meant as another song.
            found.setdefault(without_links(file.parent) / file.name, file)
    return list(found.values())


def plan(
    inputs: Sequence[Path],
    *,
    out: Path,
    template: str,
    model: str,
    stems: Sequence[str],
    ext: str,
) -> list[Job]:
    """One job per input, with its outputs under `out`/`model`.

    Raises:
        UsageError: The template is broken, leads out of the folder, or two outputs would be the same file, or an
            output would overwrite an input.
    """
    _check_template(template, several_stems=len(stems) > 1)
    jobs = []
    for source in inputs:
        outputs = {}
        for stem in stems:
            try:
                name = template.format(track=source.stem, stem=stem, ext=ext, model=model)
            except (ValueError, LookupError) as error:  # a format specification that fits no text
                raise UsageError(f"--filename {template!r}: {error}") from error
            path = out / model / name
            if ".." in Path(name).parts or Path(name).is_absolute():
                raise UsageError(f"--filename {template!r}: {name!r} leads out of the output folder")
            outputs[stem] = path
        jobs.append(Job(source=source, outputs=outputs))
    _check_collisions(jobs)
    return jobs


def _check_template(template: str, *, several_stems: bool) -> None:
    try:
        fields = {field for _, field, _, _ in string.Formatter().parse(template) if field is not None}
    except ValueError as error:
        raise UsageError(f"--filename {template!r}: {error}") from error
    if unknown := fields - _FIELDS:
        raise UsageError(
            f"--filename {template!r}: {{{sorted(unknown)[0]}}} is not known; "
            "use {track}, {stem}, {ext} and {model}"
        )
    if several_stems and "stem" not in fields:
        raise UsageError(f"--filename {template!r}: needs {{stem}}, or all stems would go to one file")


def _check_collisions(jobs: Sequence[Job]) -> None:
    inputs = {_key(job.source) for job in jobs}
    taken: dict[str, Path] = {}
    for job in jobs:
        for path in job.outputs.values():
            key = _key(path)
            if key in inputs:
                raise UsageError(f"{path}: would overwrite an input; choose another -o or --filename")
            if key in taken:
                raise UsageError(
                    f"{taken[key]} and {job.source} would both be written to {path}: "
                    "rename one, or run them with different -o"
                    if taken[key] != job.source
                    else f"several stems of {job.source} would be written to {path}: change --filename"
                )
            taken[key] = job.source


def _key(path: Path) -> str:
    """The same for two names that some file system takes for one: many ignore case, or how an accent is composed."""
    return unicodedata.normalize("NFC", str(without_links(path))).casefold()


def _search(folder: Path) -> list[Path]:
    """The audio files below a folder, and the folders that may not be searched."""
    closed: list[Path] = []
    files = [
        path
        for place, _, names in os.walk(folder, onerror=lambda error: closed.append(Path(error.filename)))
        for name in names
        if _is_audio(path := Path(place, name))
    ]
    return sorted(files + closed)


def _outside(places: Sequence[Path], searched: Path, files: Sequence[Path]) -> list[Path]:
    """Files that are in none of the places below the folder that was searched."""
    apart = [without_links(place) for place in places if without_links(searched) in without_links(place).parents]
    return [file for file in files if not any(place in without_links(file).parents for place in apart)]


def _match(pattern: Path) -> list[Path]:
    root = Path(pattern.anchor)
    try:
        return sorted(root.glob(str(pattern.relative_to(root))))
    except ValueError as error:  # "**" as part of a name
        raise UsageError(f"{pattern}: {error}") from error


def _is_audio(path: Path) -> bool:
    return path.suffix.lower() in AUDIO_SUFFIXES and os.path.isfile(path) and not path.name.startswith(".")
