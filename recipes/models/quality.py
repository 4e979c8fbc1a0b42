"""The numbers and pictures of docs/quality.md.

    python recipes/models/quality.py SONGS MODEL... -o DIR [--work WORK] [--split test] [--song NAME --start 120]

SONGS is a folder that `dttnet data check` reads, a MODEL a name or a folder. Tables go to standard output, as Markdown,
the last by frequency, of the last MODEL and NAME; DIR gets quality_cost.png (uSDR against what a model computes) and
quality_sheet.jpg (spectrograms of the truth and of each model's estimates). WORK keeps the scores, so that only what is
new is computed.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from dttnet import Separator, evaluate
from dttnet.comparison import compare
from dttnet.config import Transform
from dttnet.dataset import STEMS, Track, load_dataset
from dttnet.scores import BASELINES, ESTIMATES, ORACLE, Summary
from dttnet.songs.portrait import draw_sheet
from dttnet.stft import stft

TABLES = {"usdr": "uSDR", "csdr_pooled": "cSDR, pooled", "csdr_sisec": "cSDR, SiSEC"}
SHEET_S = 12.0
BANDS_HZ = (0, 120, 500, 2000, 8000)
BLOCK = 1 << 20
"""Samples that are transformed at once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("evaluation"))
    parser.add_argument("--split", default="test")
    parser.add_argument("--song", help="of the spectrograms; the first, if not given")
    parser.add_argument("--start", type=float, default=120, help="of the spectrograms, in seconds")
    args = parser.parse_args()
    tracks = evaluate.select_tracks(load_dataset(args.songs), args.split)
    shown = [track for track in tracks if args.song in (None, track.name)]
    if not shown:
        parser.error(f"--song {args.song}: there are {', '.join(track.name for track in tracks)}")
    args.out.mkdir(parents=True, exist_ok=True)
    summaries = {Path(model).name: score(tracks, model, args.work) for model in args.models}
    print("\n".join([*tables(summaries), *per_track(summaries)]))
    print("\n".join(by_frequency(shown[0], args.models[-1])))
    draw_cost(args.models, summaries, args.out / "quality_cost.png")
    draw_estimates(shown[0], args.models, args.start, args.out / "quality_sheet.jpg")


def score(tracks: list[Track], model: str, work: Path) -> Summary:
    name = Path(model).name
    settings = evaluate.ModelSettings(model=model)
    jobs = evaluate.plan_model(tracks, settings, stems=STEMS, out=work / name, baselines=True)
    scores = [outcome.scores for outcome in evaluate.run(jobs) if outcome.scores is not None]
    assert len(scores) == len(tracks), f"{name}: tracks failed"
    return Summary(name=name, stems=STEMS, tracks=tuple(scores))


def row(name: str, values: list[float]) -> str:
    return f"| {name} | " + " | ".join("" if np.isnan(value) else f"{value:.2f}" for value in values) + " |"


def tables(summaries: dict[str, Summary]) -> list[str]:
    """Of all tracks: the models, and the baselines."""
    lines = []
    first = next(iter(summaries.values()))
    for metric, title in TABLES.items():
        lines += ["", f"| {title}, dB | " + " | ".join((*STEMS, "mean")) + " |", "|---|" + "---:|" * (len(STEMS) + 1)]
        lines += [row(f"`{name}`", summary.values(metric, ESTIMATES)) for name, summary in summaries.items()]
        lines += [row(method, first.values(metric, method)) for method in BASELINES]
    return lines


def per_track(summaries: dict[str, Summary]) -> list[str]:
    """uSDR of each track, where there are several."""
    first = next(iter(summaries.values()))
    if len(first.tracks) == 1:
        return []
    lines = ["", "| uSDR, dB | | " + " | ".join(STEMS) + " |", "|---|---|" + "---:|" * len(STEMS)]
    for number, track in enumerate(first.tracks):
        rows = {f"`{name}`": summary.tracks[number].methods[ESTIMATES] for name, summary in summaries.items()}
        rows |= {method: track.methods[method] for method in BASELINES}
        for name, stems in rows.items():
            values = [stems[stem].usdr if stem in stems else np.nan for stem in STEMS]
            lines.append(row(f"{track.track} | {name}", values))
    return lines


def by_frequency(track: Track, model: str) -> list[str]:
    """Of each stem and band: its share of the stem's energy in percent, and uSDR of the model's estimate."""
    separator = Separator(model)
    rate = separator.transform.sample_rate
    truth = np.stack([track.read(stem, 0, track.n_samples, sample_rate=rate) for stem in STEMS])
    estimates = separator.separate(truth.sum(0), rate)
    found = np.stack([estimates[stem] for stem in STEMS])
    whole = Transform(n_fft=4096, hop=1024, n_bins=2049)
    edges = np.round(np.array(BANDS_HZ) / rate * whole.n_fft).astype(int)
    energy, error = (np.zeros((len(STEMS), len(edges))) for _ in range(2))
    for start in range(0, truth.shape[-1], BLOCK):
        block = slice(start, start + BLOCK)
        seen, made = (stft(np.pad(x[..., block], ((0, 0), (0, 0), (2048, 4096))), whole) for x in (truth, found))
        for sums, spectra in ((energy, seen), (error, seen - made)):
            sums += np.add.reduceat(np.square(np.abs(spectra)).sum((1, 2)), edges, axis=1)
    lines = ["", f"| {track.name}, `{Path(model).name}` | " + " | ".join(f"{stem}: % | dB" for stem in STEMS) + " |"]
    lines.append("|---|" + "---:|" * (2 * len(STEMS)))
    names = [f"{low} to {high} Hz" for low, high in pairwise(BANDS_HZ)] + [f"from {BANDS_HZ[-1]} Hz"]
    for band, name in enumerate(names):
        cells = [
            f"{100 * energy[i, band] / energy[i].sum():.1f} | {10 * np.log10(energy[i, band] / error[i, band]):.1f}"
            for i in range(len(STEMS))
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def draw_cost(models: list[str], summaries: dict[str, Summary], path: Path) -> None:
    """Mean uSDR of the stems a model gives, against its cost."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    panel = figure.subplots()
    for model, (name, summary) in zip(models, summaries.items(), strict=True):
        cost = compare(model, seconds=None).gmac_per_second
        values = summary.values("usdr", ESTIMATES)[:-1]
        for stem, value in zip(STEMS, values, strict=True):
            if not np.isnan(value):
                panel.plot(cost, value, "o", color=f"C{STEMS.index(stem)}")
        panel.annotate(name, (cost, np.nanmax(values)), (0, 6), textcoords="offset points", ha="center")
    first = next(iter(summaries.values()))
    for number, (stem, value) in enumerate(zip(STEMS, first.values("usdr", ORACLE), strict=False)):
        panel.axhline(value, color=f"C{number}", linestyle=":", linewidth=1)
        panel.plot([], [], "o", color=f"C{number}", label=stem)
    panel.set(xscale="log", xlabel="GMAC per second of audio, all stems of the model", ylabel="uSDR, dB")
    ticks = [1, 2, 5, 10, 20, 50]
    panel.set_xticks(ticks, [str(tick) for tick in ticks])
    panel.set_xticks([], minor=True)
    panel.set_title(f"{first.tracks[0].track}" if len(first.tracks) == 1 else f"{len(first.tracks)} songs")
    panel.grid(alpha=0.3)
    panel.legend(title="dotted: ideal ratio mask", fontsize=8)
    figure.savefig(path, dpi=100)


def draw_estimates(track: Track, models: list[str], start_s: float, path: Path) -> None:
    """Spectrograms of a few seconds: the truth, then each model."""
    rate = track.sample_rate
    margin = round(5 * rate)  # so that no model is at the start of a song
    start = min(max(round(start_s * rate) - margin, 0), max(track.n_samples - round(SHEET_S * rate) - 2 * margin, 0))
    n_samples = min(round(SHEET_S * rate) + 2 * margin, track.n_samples)
    truth = {stem: track.read(stem, start, n_samples) for stem in STEMS if stem in track.stems}
    mixture = track.read("mixture", start, n_samples)
    columns = [("truth", truth)]
    columns += [
        (Path(model).name, {"mixture": mixture, **Separator(model).separate(mixture, rate)}) for model in models
    ]
    draw_sheet(columns, path, duration_s=SHEET_S)


if __name__ == "__main__":
    main()
