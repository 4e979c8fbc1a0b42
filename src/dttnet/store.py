"""Models by name: where their files are, and the published checkpoints that are known by hash.

A model is a folder with one ONNX file per network (or one such file). The files say what they are; `registry.json`
adds what only this package can know: the hashes of the files it ships, and of checkpoints others publish.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dttnet.config import NetworkCard
from dttnet.errors import ModelError

DEFAULT_MODEL = "default"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model on disk: its name and the files of its networks.

    Attributes:
        companions: Files of the models that are `companions_of` it, where they were asked for.
    """

    name: str
    files: tuple[Path, ...]
    companions: tuple[Path, ...] = ()

    @property
    def sha256(self) -> str:
        """Hash of the only file, or of the files' hashes in the order of their names, companions last."""
        hashes = [file_sha256(file) for file in (*self.files, *self.companions)]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Published:
    """A checkpoint of the paper's networks that others publish, and that `dttnet models import` reads.

    Attributes:
        size, sha256: None where they are not known.
        where: Where a person gets it.
    """

    file: str
    stem: str
    size: int | None
    sha256: str | None
    where: str


PUBLISHED_LICENCE = "none stated by those who publish it"
PUBLISHED_TRAINING_DATA = "MUSDB18-HQ, which is for non-commercial use"
BASELINES = {
    "TFC-TDF UNet v3 (MDX23C)": "docs/pretrained_models.md of github.com/ZFTurbo/Music-Source-Separation-Training; the "
    "YAML beside a checkpoint is needed too (--config)",
    "BSRNN": "zenodo.org/records/13903584, by the authors of github.com/magronp/bsrnn",
}
"""Where checkpoints of other architectures are, that we know by their form and not one by one."""


def registry() -> dict[str, Any]:
    text = resources.files("dttnet").joinpath("registry.json").read_text(encoding="utf-8")
    result: dict[str, Any] = json.loads(text)
    return result


def published() -> list[Published]:
    return [Published(**entry) for entry in registry()["published"]]


def shipped() -> list[str]:
    """Names of the models inside the package."""
    return sorted(registry()["shipped"])


def companions_of(name: str) -> list[str]:
    """Other models of this package that make this one of it better, if the mean is taken of what all give."""
    found: list[str] = registry()["shipped"][name].get("companions", [])
    return found


def find(name: str, *, companions: bool = False) -> Model:
    """The model with this name, or in this folder or ONNX file.

    Args:
        name: Of the model, or its folder or file.
        companions: Together with its companions.

    Raises:
        ModelError: There is none; the message lists the names that are there.
    """
    joined: list[Path] = []
    if name in shipped():
        folder = _weights() / name
        if companions:
            joined = [file for other in companions_of(name) for file in find(other).files]
    else:
        path = Path(name)
        if os.path.isfile(path):
            return Model(name=path.stem, files=(path,))
        if not os.path.isdir(path):  # neither raises where a folder may not be searched
            raise ModelError(
                f"model {name!r}: neither a model of this package ({', '.join(shipped())}) nor a folder or .onnx file"
            )
        folder = path
    # Hidden files are what some systems leave beside others.
    files = tuple(sorted(path for path in folder.glob("[!.]*.onnx") if path.is_file()))
    if not files:
        raise ModelError(f"model {name!r}: there is no .onnx file in {folder}")
    return Model(name=folder.resolve().name, files=files, companions=tuple(joined))


def check_hashes(model: Model) -> list[str]:
    """What is wrong with the files of a shipped model, one line each; nothing is known of other models' hashes."""
    known = registry()["shipped"].get(model.name, {}).get("sha256", {})
    if not all(file.parent == _weights() / model.name for file in model.files):
        return []
    problems = [f"{name}: missing" for name in known if name not in {file.name for file in model.files}]
    problems += [
        f"{file.name}: its sha256 is not the one this package was released with"
        for file in model.files
        if file_sha256(file) != known.get(file.name)
    ]
    return problems


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def probe_input(card: NetworkCard) -> NDArray[np.float32]:
    """The fixed noise (1, 2C, T, F) that a network is checked with after conversion and by `models verify`."""
    n_frames = max(32 // card.frame_multiple, 1) * card.frame_multiple
    shape = (1, 2 * card.transform.n_channels, n_frames, card.transform.n_bins)
    return np.random.Generator(np.random.PCG64(0)).standard_normal(shape, np.float32)


def _weights() -> Path:
    return Path(str(resources.files("dttnet").joinpath("weights")))
