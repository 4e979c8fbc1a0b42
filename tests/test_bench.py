"""`dttnet bench`: every engine that is here, each in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dttnet import bench
from dttnet.cli import main
from dttnet.errors import UsageError
from dttnet.runtime import choice
from dttnet.separator import Separator


def test_every_engine_is_measured_for_all_stems_and_for_one(four_stems: Path) -> None:
    sides = bench.sides(str(four_stems), threads=1)
    on_cpu = [side for side in sides if side.device == "cpu" and side.precision == "float32"]
    assert [(side.engine, side.stems) for side in on_cpu] == [
        (engine, stems) for engine in choice.ENGINES for stems in (None, ("vocals",))
    ]
    assert bench.sides(str(four_stems), engine="torch")[0].engine == "torch"
    with pytest.raises(UsageError, match="engine 'abacus' is not there: give onnxruntime, openvino, torch"):
        bench.sides(str(four_stems), engine="abacus")


def test_a_model_of_one_stem_is_measured_once(one_stem: Path) -> None:
    (side,) = bench.sides(str(one_stem), engine="onnxruntime")
    assert side.stems is None


def test_a_measurement_has_time_start_and_memory(four_stems: Path) -> None:
    result = CliRunner().invoke(
        main, ["bench", "-n", str(four_stems), "--engine", "onnxruntime", "--seconds", "1", "--runs", "1", "--json"]
    )
    assert result.exit_code == 0, result.output
    results = json.loads(result.output)["results"]
    assert [one["side"]["stems"] for one in results] == [None, ["vocals"]]
    for one in results:
        assert one["problem"] == ""
        assert 0 < one["real_time_factor"] < 10
        assert 0 < one["start_s"] < 60
        # More than an interpreter with numpy, less than this machine has.
        assert 20 < one["peak_mb"] < 10_000


def test_what_does_not_run_is_said_in_the_table_and_is_an_error(
    four_stems: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = bench.Side(model=str(four_stems), engine="torch", device="abacus", precision="float32", stems=None)
    monkeypatch.setattr(bench, "sides", lambda *_, **__: [broken])
    result = CliRunner().invoke(main, ["bench", "-n", str(four_stems), "--seconds", "1"])
    assert result.exit_code == 3
    assert "there is no device 'abacus'" in result.stdout
    assert "torch on abacus" in result.stderr


@pytest.mark.parametrize("seconds", ["inf", "nan"])
def test_a_length_that_is_none_is_wrong_usage(seconds: str) -> None:
    result = CliRunner().invoke(main, ["bench", "--seconds", seconds])
    assert (result.exit_code, f"--seconds is {seconds}" in result.output) == (2, True)


def test_noise_of_any_length_is_separated_whole(one_stem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    separator = Separator(str(one_stem), threads=1)
    lengths = []
    stream = separator.stream

    def counted(blocks, rate):  # type: ignore[no-untyped-def]  # as the method it stands for
        blocks = list(blocks)
        lengths.append(sum(block.shape[1] for block in blocks))
        return stream(blocks, rate)

    monkeypatch.setattr(separator, "stream", counted)
    factors = list(bench.real_time_factors(separator, seconds=2.5, runs=2))
    assert lengths == [44100, 110250, 110250]  # the first is not counted
    assert len(factors) == 2
    assert all(factor > 0 for factor in factors)
