"""Worker processes and how they end."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dttnet.workers import UNBROKEN, worker_pool


def _write(folder: Path) -> None:
    with UNBROKEN:
        (folder / "begun").touch()
        time.sleep(1)
        (folder / "whole").touch()


def _interrupted(folder: Path) -> None:
    with worker_pool(2) as pool:
        pool.submit(_write, folder)
        pool.submit(os.getpid).result()  # by the other worker, which has nothing to do from now on
        while not (folder / "begun").exists():
            time.sleep(0.01)
        assert not (folder / "whole").exists()
        raise KeyboardInterrupt


def test_a_worker_that_writes_finishes_though_the_others_have_ended(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _interrupted(tmp_path)
    assert (tmp_path / "whole").exists()
