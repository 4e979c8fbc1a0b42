"""The example for other programs, which uses nothing of the package, gives what the package gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dttnet import Separator, store

ROOT = Path(__file__).parent.parent
SONG = ROOT / "examples/potassium.ogg"


@pytest.mark.parametrize("name", ["default", "fast"])
def test_the_example_gives_the_stems_of_the_package(name: str, tmp_path: Path) -> None:
    (model,) = store.find(name).files
    script = ROOT / "examples/embed.py"
    subprocess.run([sys.executable, script, model, SONG, tmp_path / "stems"], check=True, timeout=300)
    audio, rate = soundfile.read(SONG, dtype="float32", always_2d=True)
    expected = Separator(name, quality="fast").separate(audio.T, rate)
    assert {path.stem for path in (tmp_path / "stems").iterdir()} == set(expected)
    for stem, samples in expected.items():
        found, _ = soundfile.read(tmp_path / f"stems/{stem}.wav", dtype="float32")
        # Sums in another order are 130 dB below full scale; a chunk that is off by a frame is 30 dB below.
        np.testing.assert_allclose(found.T, samples, atol=1e-5)


def test_the_example_imports_nothing_of_the_package() -> None:
    source = (ROOT / "examples/embed.py").read_text(encoding="utf-8")
    imports = {line.split()[1] for line in source.splitlines() if line.startswith(("import ", "from "))}
    assert imports == {"__future__", "json", "sys", "pathlib", "numpy", "onnxruntime", "soundfile"}
