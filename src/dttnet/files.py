"""Files that are there whole or not at all, and which one a path means."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, with the same name: the file moves to `path` when the block ends, and is gone after an error.

    A file that is at `path` is replaced; its folder is made. A killed process leaves a hidden folder `.dttnet-*`.

    Raises:
        OSError: The folder cannot be made or written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # In a folder of its own, so that a name may be as long as a name can be, and no search for *.onnx finds the file.
    with TemporaryDirectory(prefix=".dttnet-", dir=path.parent) as folder:
        partial = Path(folder) / path.name
        yield partial
        partial.replace(path)


def without_links(path: Path) -> Path:
    """The absolute path of a file or folder, there or not. `Path.resolve` raises where links lead in a circle, before
    Python 3.13."""
    return Path(os.path.realpath(path))
