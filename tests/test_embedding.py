"""The example for other programs, which uses nothing of the package, gives what the package gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from dttnet import Separator, store

ROOT = Path(__file__).parent.parent
SONG = ROOT / "examples/potassium.ogg"


def run_example(name: str, audio: NDArray[np.float32], rate: int, folder: Path) -> dict[str, NDArray[np.float32]]:
    """The stems (2, N) of a song (2, N)."""
    (model,) = store.find(name).files
    soundfile.write(folder / "song.wav", audio.T, rate, subtype="FLOAT")
    command = [sys.executable, ROOT / "examples/embed.py", model, folder / "song.wav", folder / "stems"]
    subprocess.run(command, check=True, timeout=300)
    return {path.stem: soundfile.read(path, dtype="float32")[0].T for path in (folder / "stems").iterdir()}


@pytest.mark.parametrize("sides", ["both", "left"])
@pytest.mark.parametrize("name", ["default", "fast"])
def test_the_example_gives_the_stems_of_the_package(name: str, sides: str, tmp_path: Path) -> None:
    audio, rate = soundfile.read(SONG, dtype="float32", always_2d=True)
    if sides == "left":
        audio[:, 1] = 0
    found = run_example(name, audio.T, rate, tmp_path)
    expected = Separator(name, quality="fast").separate(audio.T, rate)
    assert set(found) == set(expected)
    for stem, samples in expected.items():
        # Sums in another order are 130 dB below full scale; a chunk that is off by a frame is 30 dB below.
        np.testing.assert_allclose(found[stem], samples, atol=1e-5)


def test_the_example_leaves_the_estimate_of_a_single_stem_as_it_is(tmp_path: Path) -> None:
    audio, rate = soundfile.read(SONG, frames=5 * 44100, dtype="float32", always_2d=True)
    found = run_example("paper", audio.T, rate, tmp_path)
    expected = Separator("paper", quality="fast", adds_up=False).separate(audio.T, rate)
    np.testing.assert_allclose(found["vocals"], expected["vocals"], atol=1e-5)  # as above
    np.testing.assert_allclose(found["other"], audio.T - found["vocals"], atol=1e-6)  # rounding


def test_the_example_imports_nothing_of_the_package() -> None:
    source = (ROOT / "examples/embed.py").read_text(encoding="utf-8")
    imports = {line.split()[1] for line in source.splitlines() if line.startswith(("import ", "from "))}
    assert imports == {"__future__", "json", "os", "sys", "pathlib", "numpy", "onnxruntime", "soundfile"}
