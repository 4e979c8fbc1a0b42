"""Which files to read and where to write: inputs from files, folders and globs, outputs from a template.

Everything is decided before any work starts, so that two songs never write to the same file.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dttnet.audio import AUDIO_SUFFIXES
from dttnet.errors import UsageError

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
        return all(path.exists() for path in self.outputs.values())


def find_inputs(arguments: Sequence[str]) -> list[Path]:
    """Files as they are named; the audio files of folders, with those below; what globs match. In order, each once.

    Raises:
        UsageError: A folder or a glob has no audio file. Files that are not there are left for the work to report.
    """
    found: dict[Path, None] = {}
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            files = [file for file in sorted(path.rglob("*")) if _is_audio(file)]
            if not files:
                raise UsageError(f"{argument}: the folder holds no audio files")
        elif not path.exists() and _MAGIC.search(argument):
            files = sorted(_match(path))
            files = [file for file in files if file.is_file()]
            if not files:
                raise UsageError(f"{argument}: no file matches")
        else:
            files = [path]
        found.update(dict.fromkeys(files))
    return list(found)


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
            name = template.format(track=source.stem, stem=stem, ext=ext, model=model)
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
    inputs = {job.source.resolve() for job in jobs}
    taken: dict[str, Path] = {}
    for job in jobs:
        for path in job.outputs.values():
            if path.resolve() in inputs:
                raise UsageError(f"{path}: would overwrite an input; choose another -o or --filename")
            # As file systems that ignore case see it.
            key = str(path.resolve()).casefold()
            other = taken.setdefault(key, job.source)
            if other != job.source:
                raise UsageError(
                    f"{other} and {job.source} would both be written to {path}: "
                    "rename one, or run them with different -o"
                )


def _match(pattern: Path) -> Iterator[Path]:
    root = Path(pattern.anchor)
    return root.glob(str(pattern.relative_to(root)))


def _is_audio(path: Path) -> bool:
    return path.suffix.lower() in AUDIO_SUFFIXES and path.is_file() and not path.name.startswith(".")
