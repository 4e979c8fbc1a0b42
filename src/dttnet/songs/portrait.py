"""What sets of songs are like: numbers and pictures, to ask whether a person would take them for music.

A song is a mapping of stem to (2, N). `describe` it, `compare` sets of such descriptions in a table, `draw_statistics`
and `draw_spectra` them side by side, and look at spectrograms of some on a `draw_sheet`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, signal

from dttnet.dataset import MIXTURE, STEMS, Track
from dttnet.errors import MissingExtraError
from dttnet.songs.production import loudness, loudness_blocks
from dttnet.songs.signals import RATE, Float, mono, peak

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTS = (*STEMS, MIXTURE)

STATISTICS = {
    "level": "loudness beside the mixture's, in LU",
    "loudness": "loudness of what sounds, in LUFS",
    "range": "loudness range: from the 10th to the 95th percentile of 3 s, in LU",
    "crest": "peak over RMS of what sounds, in dB",
    "share": "share of time that it sounds",
    "tilt": "slope of the spectrum from 100 Hz to 10 kHz, in dB per octave",
    "top": "99 % of the energy is below, in kHz",
    "side": "side over middle, in dB (0 Hz to 22 kHz)",
    "side low": "side over middle below 250 Hz, in dB",
    "side middle": "side over middle from 250 Hz to 4 kHz, in dB",
    "side high": "side over middle above 4 kHz, in dB",
    "onsets": "onsets per second of what sounds",
    "noise": "spectral flatness from 200 Hz to 8 kHz, in dB: 0 for noise, low for tones",
    "moves": "correlation of the onset strengths of two stems, above that of the same stems out of time",
    "plays": "correlation of the levels of two stems over seconds",
}
"""What is measured of each part; the last two of each pair of stems."""

_PAIRED = ("moves", "plays")

THIRDS_HZ = np.array([1000 * 2 ** (k / 3) for k in range(-15, 14)])
"""Middles of the third octaves, 31 Hz to 20 kHz."""

_FLOOR_DB = -60.0
"""Of widths: less side than that is mono."""


@dataclass(frozen=True)
class Statistics:
    """What a song is like.

    Attributes:
        values: Statistic by part ("vocals", ..., "mixture") or pair ("vocals, drums"). What cannot be measured, such as
            the level of silence, is not in here.
        spectra_db: (len(THIRDS_HZ),) by part: energy in third octaves, where 0 is all of it.
        widths_db: (len(THIRDS_HZ),) by part: side over middle.
    """

    values: Mapping[str, Mapping[str, float]]
    spectra_db: Mapping[str, NDArray[np.float64]]
    widths_db: Mapping[str, NDArray[np.float64]]


# ------------------------------------------------------------------------------------------------------ measuring


def describe(stems: Mapping[str, Float]) -> Statistics:
    """Measure a song of (2, N) stems, half a minute or more. Its mixture is their sum unless it is among them."""
    parts = {part: stems[part] for part in PARTS if part in stems}
    if MIXTURE not in parts:
        parts[MIXTURE] = np.sum(list(parts.values()), axis=0, dtype=np.float32)
    total = loudness(parts[MIXTURE])
    values: dict[str, Mapping[str, float]] = {}
    spectra: dict[str, NDArray[np.float64]] = {}
    widths: dict[str, NDArray[np.float64]] = {}
    onsets: dict[str, NDArray[np.float64]] = {}
    for part, x in parts.items():
        onsets[part] = _onset_strengths(x)
        own = total if part == MIXTURE else loudness(x)
        if not np.isfinite(own):
            values[part] = {"share": 0.0}
            continue
        middle, side = _spectra(x)
        spectra[part] = _to_db(_thirds(middle + side) / (middle + side).sum())
        widths[part] = _width_db(_thirds(middle), _thirds(side))
        values[part] = {
            "level": own - total,
            "loudness": own,
            **_measure_dynamics(x, onsets[part]),
            **_measure_spectrum(middle, side),
            "noise": _flatness_db(middle + side),
        }
    for one, two in itertools.combinations([stem for stem in STEMS if stem in spectra], 2):
        pair = {"plays": _correlation(_seconds_db(parts[one]), _seconds_db(parts[two]))}
        moves = _timed_correlation(onsets[one], onsets[two])
        values[f"{one}, {two}"] = pair if moves is None else {**pair, "moves": moves}
    return Statistics(values, spectra, widths)


def _measure_dynamics(x: Float, onsets: NDArray[np.float64]) -> dict[str, float]:
    tenth = RATE // 10
    levels = np.abs(_frames(x, tenth)).max(axis=2).max(axis=0)
    power = (_frames(x, tenth) ** 2).mean(axis=2).mean(axis=0)
    sounds = levels > max(1e-3, np.percentile(levels, 95) / 100)
    found = {"share": float(sounds.mean())}
    if sounds.any():
        found["crest"] = 20 * float(np.log10(peak(x))) - float(_to_db(power[sounds].mean()))
        found["onsets"] = len(_onset_times(onsets)) / (sounds.sum() / 10)
    blocks = loudness_blocks(x, block_s=3.0)
    # EBU Tech 3342: without what is 20 LU below the mean.
    blocks = blocks[blocks > 10 * np.log10(np.mean(10 ** (blocks / 10))) - 20] if len(blocks) else blocks
    if len(blocks) > 3:
        found["range"] = float(np.percentile(blocks, 95) - np.percentile(blocks, 10))
    return found


def _measure_spectrum(middle: NDArray[np.float64], side: NDArray[np.float64]) -> dict[str, float]:
    both = middle + side
    hz = _bins_hz(both)
    slope = (THIRDS_HZ >= 100) & (THIRDS_HZ <= 10_000)
    # Density: a third octave's energy by its width.
    density_db = _to_db(_thirds(both) / THIRDS_HZ)[slope]
    found = {
        "tilt": float(np.polyfit(np.log2(THIRDS_HZ[slope]), density_db, 1)[0]),
        "top": float(hz[np.searchsorted(np.cumsum(both), 0.99 * both.sum())]) / 1000,
        "side": float(_width_db(middle.sum(), side.sum())),
    }
    for name, low_hz, high_hz in (("low", 0, 250), ("middle", 250, 4000), ("high", 4000, RATE / 2)):
        within = (hz >= low_hz) & (hz < high_hz)
        # A band without a thousandth of the energy has rounding errors, but no width.
        if both[within].sum() > 1e-5 * both.sum():
            found[f"side {name}"] = float(_width_db(middle[within].sum(), side[within].sum()))
    return found


def _flatness_db(power: NDArray[np.float64]) -> float:
    hz = _bins_hz(power)
    heard = power[(hz > 200) & (hz < 8000)] + 1e-20
    return float(_to_db(np.exp(np.log(heard).mean()) / heard.mean()))


def _spectra(x: Float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(F,) mean power of the middle and of the side, of 8192 samples each."""
    n_window = min(8192, x.shape[1])
    sides = np.stack([x[0] + x[-1], x[0] - x[-1]]) * np.float32(0.5)
    spectra = fft.rfft(_frames(sides, n_window) * signal.get_window("hann", n_window).astype(np.float32))
    middle, side = (spectra.real**2 + spectra.imag**2).mean(axis=1, dtype=np.float64)
    return middle, side


def _bins_hz(power: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.linspace(0, RATE / 2, len(power))


def _thirds(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """(len(THIRDS_HZ),) energy in third octaves: bins are shared where an edge divides them."""
    edges_hz = np.concatenate([THIRDS_HZ * 2 ** (-1 / 6), THIRDS_HZ[-1:] * 2 ** (1 / 6)])
    width_hz = RATE / 2 / (len(power) - 1)
    below = np.concatenate([[0.0], np.cumsum(power)])
    total = np.interp(edges_hz / width_hz + 0.5, np.arange(len(below)), below)
    return np.diff(total)


def _width_db(middle: Any, side: Any) -> Any:
    return np.maximum(_to_db(side + 1e-20) - _to_db(middle + 1e-20), _FLOOR_DB)


def _to_db(power: Any) -> Any:
    return 10 * np.log10(np.maximum(power, 1e-12))


def _frames(x: Float, n_samples: int) -> Float:
    """(C, T, n_samples) without the rest."""
    n_frames = x.shape[1] // n_samples
    return x[:, : n_frames * n_samples].reshape(len(x), n_frames, n_samples)


def _seconds_db(x: Float) -> NDArray[np.float64]:
    """(T,) levels of seconds, silence at -60 dB: who plays when, and how loudly."""
    power = (_frames(x, RATE) ** 2).mean(axis=2).mean(axis=0)
    levels: NDArray[np.float64] = np.maximum(_to_db(power), -60.0)
    return levels


def _onset_strengths(x: Float) -> NDArray[np.float64]:
    """(T,) how much the spectrum grows, a hundred times a second (spectral flux of the logarithm)."""
    hop = RATE // 100
    n_frames = x.shape[1] // hop - 3
    if n_frames < 2:
        return np.zeros(max(n_frames, 0))
    windows = np.lib.stride_tricks.sliding_window_view(mono(x)[0], 1024)[::hop][:n_frames]
    size = np.abs(fft.rfft(windows * np.hanning(1024).astype(np.float32)))
    growth = np.diff(np.log1p(10 * size), axis=0)
    return np.concatenate([[0.0], np.maximum(growth, 0).mean(axis=1)])


def _onset_times(strengths: NDArray[np.float64]) -> NDArray[np.intp]:
    if not len(strengths):
        return np.zeros(0, np.intp)
    smooth = ndimage.gaussian_filter1d(strengths, 1.0)
    usual = ndimage.uniform_filter1d(smooth, 100)
    least = max(0.15 * float(np.percentile(smooth, 99.5)), 0.005)
    found: NDArray[np.intp] = signal.find_peaks(smooth - usual, height=0.5 * least, prominence=least, distance=5)[0]
    return found


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    if len(a) < 2 or a.std() < 1e-9 or b.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _timed_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    """Correlation where both sound, less the mean of that with b turned round by a third to two thirds of the song.

    What changes over seconds is taken out first. None, if they sound together for less than five seconds.
    """
    beside = _both_sound(a, b)
    if beside.sum() < 500:
        return None
    a, b = _quick(a), _quick(b)
    turned = []
    for turn in np.linspace(len(b) // 3, 2 * len(b) // 3, 12).astype(int):
        late = np.roll(b, turn)
        turned.append(_correlation(a[beside], late[beside]))
    return _correlation(a[beside], b[beside]) - float(np.mean(turned))


def _both_sound(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(T,) whether there is an onset of each within half a second."""
    near = [ndimage.maximum_filter1d(x, 100) > 0.2 * np.percentile(x, 99) for x in (a, b)]
    return np.asarray(near[0] & near[1] & (a.max() > 0) & (b.max() > 0), np.bool_)


def _quick(x: NDArray[np.float64]) -> NDArray[np.float64]:
    faster: NDArray[np.float64] = ndimage.gaussian_filter1d(x, 2.0) - ndimage.uniform_filter1d(x, 150)
    return faster


# ------------------------------------------------------------------------------------------------------- reading


def read_song(track: Track, *, duration_s: float = 60.0) -> dict[str, Float]:
    """The middle of a track: (2, N) of each stem that it has, and of the mixture.

    Raises:
        AudioError: A file is gone or damaged.
    """
    n_samples = min(round(duration_s * RATE), round(track.duration_s * RATE))
    start = (round(track.duration_s * RATE) - n_samples) // 2
    parts = [*(stem for stem in STEMS if stem in track.stems), MIXTURE]
    return {part: track.read(part, start, n_samples, sample_rate=RATE) for part in parts}


# ---------------------------------------------------------------------------------------------------- comparing


def compare(sets: Mapping[str, Sequence[Statistics]]) -> str:
    """A Markdown table: median (and quartiles) of each statistic of each part, a column for each set."""
    lines = [
        "| | " + " | ".join(f"{name} ({len(songs)})" for name, songs in sets.items()) + " |",
        "|---|" + "---:|" * len(sets),
    ]
    for statistic, meaning in STATISTICS.items():
        lines.append(f"| **{statistic}**: {meaning} |" + " |" * len(sets))
        for part in _parts_of(sets):
            cells = [_quartiles(values_of(songs, part, statistic)) for songs in sets.values()]
            if any(cells):
                lines.append(f"| {part} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def values_of(songs: Sequence[Statistics], part: str, statistic: str) -> NDArray[np.float64]:
    """(S,) of the songs in which it could be measured."""
    return np.array([song.values[part][statistic] for song in songs if statistic in song.values.get(part, {})])


def _quartiles(values: NDArray[np.float64]) -> str:
    if not len(values):
        return ""
    low, median, high = np.percentile(values, [25, 50, 75])
    n_digits = 2 if np.abs(values).max() < 3 else 1
    return f"{median:.{n_digits}f} ({low:.{n_digits}f} to {high:.{n_digits}f})"


def _parts_of(sets: Mapping[str, Sequence[Statistics]]) -> list[str]:
    """Parts, then pairs, that any song has."""
    found = dict.fromkeys(part for songs in sets.values() for song in songs for part in song.values)
    return sorted(found, key=lambda part: (part not in PARTS, PARTS.index(part) if part in PARTS else 0))


# ------------------------------------------------------------------------------------------------------- drawing


def draw_statistics(sets: Mapping[str, Sequence[Statistics]], path: Path) -> None:
    """A PNG with a panel for each statistic and the sets side by side: quartiles, 5 to 95 % as whiskers, a dot a song.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = _figure((18, 20), f"Drawing {path.name}")
    panels = figure.subplots(5, 3).ravel()
    width = 0.8 / max(len(sets), 1)
    for panel, (statistic, meaning) in zip(panels, STATISTICS.items(), strict=True):
        parts = [part for part in _parts_of(sets) if (part in PARTS) != (statistic in _PAIRED)]
        for number, (name, songs) in enumerate(sets.items()):
            places = np.arange(len(parts)) - 0.4 + width * (number + 0.5)
            values = [values_of(songs, part, statistic) for part in parts]
            colour = f"C{number % 10}"
            _draw_boxes(panel, places, values, colour, 0.8 * width)
            panel.plot([], [], "s", color=colour, label=name)
        panel.set_xticks(range(len(parts)), [part.replace(", ", "\n") for part in parts])
        panel.set_title(f"{statistic}: {meaning}", fontsize=8)
        panel.grid(axis="y", alpha=0.3)
    panels[0].legend()
    figure.savefig(path, dpi=80)


def _draw_boxes(
    panel: Any, places: NDArray[np.floating], values: Sequence[NDArray[np.float64]], colour: str, width: float
) -> None:
    """Quartiles, the median, 5 to 95 % and the songs themselves."""
    found = [(place, some) for place, some in zip(places, values, strict=True) if len(some)]
    if not found:
        return
    at = np.array([place for place, _ in found])
    least, low, median, high, most = np.array([np.percentile(some, [5, 25, 50, 75, 95]) for _, some in found]).T
    panel.bar(at, high - low, width, low, color=colour, alpha=0.4)
    panel.hlines(median, at - width / 2, at + width / 2, color="black")
    panel.vlines(at, least, most, color=colour, linewidth=1)
    rng = np.random.default_rng(0)
    scattered = [place + rng.uniform(-0.3, 0.3, len(some)) * width for place, some in found]
    panel.plot(np.concatenate(scattered), np.concatenate([some for _, some in found]), ".", color=colour, markersize=3)


def draw_spectra(sets: Mapping[str, Sequence[Statistics]], path: Path) -> None:
    """A PNG with the third octaves of each part (above) and their widths (below): medians, and quartiles as bands.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = _figure((22, 9), f"Drawing {path.name}")
    panels = figure.subplots(2, len(PARTS), sharex=True, sharey="row")
    for column, part in enumerate(PARTS):
        for number, (name, songs) in enumerate(sets.items()):
            for row, what in enumerate(("spectra_db", "widths_db")):
                found = [getattr(song, what)[part] for song in songs if part in getattr(song, what)]
                if not found:
                    continue
                low, median, high = np.percentile(found, [25, 50, 75], axis=0)
                panels[row, column].semilogx(THIRDS_HZ, median, color=f"C{number % 10}", label=name)
                panels[row, column].fill_between(THIRDS_HZ, low, high, color=f"C{number % 10}", alpha=0.2)
        panels[0, column].set_title(part)
        panels[1, column].set_xlabel("Hz")
        for row in (0, 1):
            panels[row, column].grid(alpha=0.3)
    panels[0, 0].set_ylim(-60, 0)
    panels[0, 0].set_ylabel("energy in third octaves, dB")
    panels[1, 0].set_ylabel("side over middle, dB")
    panels[0, 0].legend()
    figure.savefig(path, dpi=80)


def draw_sheet(songs: Sequence[tuple[str, Mapping[str, Float]]], path: Path, *, duration_s: float = 12.0) -> None:
    """Spectrograms: a column for each named song, mixture and stems below each other, as ears space pitches.

    What is drawn is the middle of each song.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = _figure((4.2 * max(len(songs), 1), 14), f"Drawing {path.name}")
    rows = (MIXTURE, *STEMS)
    panels = figure.subplots(len(rows), len(songs), squeeze=False)
    for column, (name, stems) in enumerate(songs):
        given = [stems[stem] for stem in STEMS if stem in stems]
        parts: dict[str, Float] = dict(stems)
        if MIXTURE not in parts:
            parts[MIXTURE] = np.sum(given, axis=0, dtype=np.float32)
        for row, part in enumerate(rows):
            panel = panels[row, column]
            if part not in parts:
                panel.set_axis_off()
                continue
            _draw_spectrogram(panel, parts[part], duration_s)
            panel.set_title(f"{name}: {part}" if row == 0 else part, fontsize=9)
    figure.savefig(path, dpi=70)


def _draw_spectrogram(panel: Any, x: Float, duration_s: float) -> None:
    n_samples = min(x.shape[1], round(duration_s * RATE))
    start = (x.shape[1] - n_samples) // 2
    _, times_s, power = signal.spectrogram(
        mono(x)[0, start : start + n_samples], RATE, "hann", nperseg=4096, noverlap=3584, scaling="spectrum"
    )
    octaves = np.linspace(np.log2(30), np.log2(20_000), 240)
    at = 2**octaves / (RATE / 2) * (len(power) - 1)
    level_db = ndimage.map_coordinates(
        _to_db(power), np.meshgrid(at, np.arange(len(times_s)), indexing="ij"), order=1, mode="nearest"
    )
    panel.imshow(
        level_db, origin="lower", aspect="auto", vmin=-100, vmax=-25, cmap="magma",
        extent=(0, n_samples / RATE, octaves[0], octaves[-1]),
    )  # fmt: skip  # many settings, few lines
    panel.set_yticks(np.log2([50, 100, 200, 500, 1000, 2000, 5000, 10_000]), "50 100 200 500 1k 2k 5k 10k".split())


def _figure(size: tuple[float, float], purpose: str) -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(purpose, "plots") from error
    figure = Figure(figsize=size)
    # Inches: a layout that matplotlib finds takes longer than all the drawing.
    left, bottom, right, top = 0.7 / size[0], 0.5 / size[1], 1 - 0.1 / size[0], 1 - 0.4 / size[1]
    figure.subplots_adjust(left=left, bottom=bottom, right=right, top=top, wspace=0.15, hspace=0.2)
    FigureCanvasAgg(figure)  # not by way of pyplot, which has state and may want a display
    return figure
