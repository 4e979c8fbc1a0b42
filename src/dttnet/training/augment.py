"""Random changes of stems: one function draws them, others apply them.

Shapes: C channels (2), N samples. Audio is (C, N) float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from python_stretch.Signalsmith import Stretch

from dttnet.audio import change_tempo, resample
from dttnet.errors import UsageError

Float = NDArray[np.float32]

MARGIN_S = 0.15
"""Audio on both sides of an excerpt that `change_pitch_and_tempo` needs to be the same up to the excerpt's ends."""

# Signalsmith Stretch with blocks of 0.14 s (6144 samples at 44.1 kHz, a fast transform) that overlap three times takes
# 2/3 of the time of its own default, which overlaps four times; sines come out with some 40 dB of noise below them
# instead of 48 dB, and clicks as sharp.
_BLOCK_S = 0.14
_BLOCK_MULTIPLE = 768
_OVERLAP = 3

# 80 dB below full scale: what is before and after louder samples is not worth the work, and becomes silence.
_INAUDIBLE = 1e-4

# Of a random tone: two octaves apart, so that its filter is smooth and rings little.
_TONE_HZ = (62.5, 250.0, 1000.0, 4000.0, 16000.0)
_FFT_MULTIPLE = 4096

# From the telephone to a compressed file of a low rate.
_LOWEST_BANDWIDTH_HZ = 3500.0
_HIGHEST_BANDWIDTH_HZ = 16000.0
_BANDWIDTH_ORDER = 8

_LEAST_DRIVE_DB, _MOST_DRIVE_DB = 6.0, 36.0

# Of a noise that swells and fades, against the rest of the example.
_NOISE_DB = (-30.0, 0.0)
_NOISE_TONE_DB = 20.0
_NOISE_BREATH_S = (0.3, 3.0)


@dataclass
class AugmentConfig:
    """How much stems are changed at random. The defaults are the paper's (section 4: 25 versions of each track), but
    for `rest_together`.

    Attributes:
        probability: That the pitch and tempo of a stem are drawn at all.
        semitones: Largest change of the pitch, up or down.
        semitone_step: Distance of the pitches that are drawn; 0 draws any.
        tempo: Largest change of the tempo, as a share: 0.2 is 0.8 to 1.2 times as fast.
        tempo_step: Distance of the tempos that are drawn; 0 draws any.
        method: What changes the tempo. "stretch" is a phase vocoder, the cleanest. "wsola" (needs the extra `formats`)
            lays pieces over each other, as the program that the paper used does, a third of the work, but stems of one
            track are apart by some milliseconds. "resample" plays faster or slower, so that the pitch goes with the
            tempo (`semitones` is not used): a sixth of the work.
        keep_pitch: Stems whose pitch stays.
        rest_together: Stems that are not targets get one change of pitch and tempo, in one pass. For a network of one
            target this is half the work. In the paper each stem has its own.
        gain_db: Largest change of the level, up or down; BSRNN has 10.
        polarity: Probability that a stem is turned upside down.
        swap: Probability that left and right are swapped.
        silence: Probability that a stem is silent; BSRNN has 0.1.
        tone_db: Largest change of the spectrum's level, up or down, at five frequencies from 62.5 Hz to 16 kHz, with
            straight lines between them.
        width_db: Largest change of the level of the sides (left minus right), up or down.
        bandwidth: Probability that the whole example ends at a frequency from 3.5 to 16 kHz, as old recordings do, and
            files that once had a lower sample rate or bit rate.
        drive: Probability that a stem is distorted, as by an amplifier, by up to 36 dB.
        noise: Probability that a noise of some colour that swells and fades is added to the example, and to its stem
            "other", if that is a target: what rushes is not always a cymbal.
    """

    probability: float = 1.0
    semitones: float = 2.0
    semitone_step: float = 1.0
    tempo: float = 0.2
    tempo_step: float = 0.1
    method: str = "stretch"
    keep_pitch: list[str] = field(default_factory=list)
    rest_together: bool = True
    gain_db: float = 0.0
    polarity: float = 0.0
    swap: float = 0.0
    silence: float = 0.0
    tone_db: float = 0.0
    width_db: float = 0.0
    bandwidth: float = 0.0
    drive: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        for name in ("probability", "polarity", "swap", "silence", "bandwidth", "drive", "noise"):
            value = getattr(self, name)
            _require(0 <= value <= 1, f"augment.{name} is {value}: a probability is from 0 to 1")
        for name, highest in (("semitones", 12), ("tempo", 0.5), ("gain_db", 60), ("tone_db", 20), ("width_db", 20)):
            value = getattr(self, name)
            _require(0 <= value <= highest, f"augment.{name} is {value}: give 0 to {highest}")
        for name, step_name in (("semitones", "semitone_step"), ("tempo", "tempo_step")):
            highest, step = getattr(self, name), getattr(self, step_name)
            _require(step >= 0, f"augment.{step_name} is {step}: it must not be negative")
            n_steps = highest / step if step else 0
            _require(
                abs(n_steps - round(n_steps)) < 1e-6,
                f"augment.{name} is {highest}, which is not a multiple of augment.{step_name}, {step}: "
                "change one of them, or set the step to 0 to draw any value",
            )
        _require(
            self.method in ("stretch", "wsola", "resample"),
            f"augment.method is {self.method!r}: give stretch, wsola or resample",
        )
        _require(
            not self.keep_pitch or self.method != "resample",
            "augment.keep_pitch cannot be had with augment.method resample, which moves the pitch with the tempo: "
            "choose stretch or wsola",
        )


@dataclass(frozen=True, kw_only=True)
class Change:
    """What happens to one stem.

    Attributes:
        semitones: Of the pitch, up.
        tempo: Times as fast.
        gain: Factor, negative for a turned polarity, 0 for silence.
        is_swapped: Left and right change places.
        width: Factor of the sides.
        tone_db: Levels at `_TONE_HZ`; empty for no change.
        drive_db: Gain before a clipper; 0 for none.
    """

    semitones: float = 0.0
    tempo: float = 1.0
    gain: float = 1.0
    is_swapped: bool = False
    width: float = 1.0
    tone_db: tuple[float, ...] = ()
    drive_db: float = 0.0


def draw_pitch_and_tempo(rng: np.random.Generator, *, config: AugmentConfig) -> tuple[float, float]:
    """Semitones up, and times as fast. With "resample", 0 semitones means: as the tempo has it."""
    semitones = _draw(rng, config.semitones, config.semitone_step)
    tempo = 1 + _draw(rng, config.tempo, config.tempo_step)
    if rng.random() >= config.probability:
        return 0.0, 1.0
    return (0.0 if config.method == "resample" else semitones), tempo


def draw_change(
    rng: np.random.Generator, stem: str, pitch_and_tempo: tuple[float, float], *, config: AugmentConfig
) -> Change:
    """Everything that happens to a stem whose pitch and tempo are drawn."""
    semitones, tempo = pitch_and_tempo
    gain = 10 ** (rng.uniform(-1, 1) * config.gain_db / 20)
    if rng.random() < config.polarity:
        gain = -gain
    is_swapped = bool(rng.random() < config.swap)
    if rng.random() < config.silence:
        gain = 0.0
    # Numbers of their own: with and without them everything else is the same.
    (mixer,) = rng.spawn(1)
    width = 10 ** (mixer.uniform(-1, 1) * config.width_db / 20)
    tone = config.tone_db * mixer.uniform(-1, 1, len(_TONE_HZ))
    drive_db = mixer.uniform(_LEAST_DRIVE_DB, _MOST_DRIVE_DB) if mixer.random() < config.drive else 0.0
    return Change(
        semitones=0.0 if stem in config.keep_pitch else semitones,
        tempo=tempo,
        gain=float(gain),
        is_swapped=is_swapped,
        width=float(width),
        tone_db=tuple(tone.tolist()) if config.tone_db else (),
        drive_db=float(drive_db),
    )


def draw_bandwidth(rng: np.random.Generator, *, config: AugmentConfig) -> float | None:
    """Where the spectrum of an example ends, in Hz; None is the usual."""
    octaves = rng.uniform() * np.log2(_HIGHEST_BANDWIDTH_HZ / _LOWEST_BANDWIDTH_HZ)
    return float(_LOWEST_BANDWIDTH_HZ * 2**octaves) if rng.random() < config.bandwidth else None


def draw_noise(rng: np.random.Generator, like: Float, *, config: AugmentConfig, sample_rate: int) -> Float | None:
    """(2, N) of white noise through a random tone, with a random level every breath; None is the usual.

    Args:
        rng: All that is random.
        like: (2, N), which it is from 30 dB softer than to as loud as.
        config: How often.
        sample_rate: In Hz.
    """
    level_db, breath_s, width = rng.uniform(*_NOISE_DB), rng.uniform(*_NOISE_BREATH_S), rng.uniform()
    tone_db = rng.uniform(-_NOISE_TONE_DB, _NOISE_TONE_DB, len(_TONE_HZ))
    if rng.random() >= config.noise or not like.any():
        return None
    n_samples = like.shape[1]
    middle, left, right = rng.standard_normal((3, n_samples), np.float32)
    noise = _change_tone((1 - width) * middle + width * np.stack([left, right]), tone_db.tolist(), sample_rate)
    breaths = rng.uniform(size=2 + int(n_samples / sample_rate / breath_s))
    noise *= np.interp(np.arange(n_samples) / sample_rate / breath_s, np.arange(len(breaths)), breaths)
    return np.asarray(noise * (10 ** (level_db / 20) * np.std(like) / np.std(noise)), np.float32)


def change_sound(audio: Float, change: Change, *, sample_rate: int) -> Float:
    """(2, N) with the change's drive, gain, polarity, tone, width and swapped channels."""
    if change.is_swapped:
        audio = audio[::-1]
    if change.drive_db:
        audio = _distort(audio, change.drive_db)
    if change.width != 1:
        sides = np.float32((change.width - 1) / 2) * (audio[0] - audio[1])
        audio = np.stack([audio[0] + sides, audio[1] - sides])
    if change.tone_db:
        audio = _change_tone(audio, change.tone_db, sample_rate)
    return audio if change.gain == 1 else audio * np.float32(change.gain)


def limit_bandwidth(audio: Float, hz: float, *, sample_rate: int) -> Float:
    """(..., N) without what is above, by a Butterworth filter of 48 dB per octave that has no delay."""
    return _filter(audio, lambda at: 1 / np.sqrt(1 + (at / hz) ** (2 * _BANDWIDTH_ORDER)), sample_rate)


def _distort(audio: Float, drive_db: float) -> Float:
    """(C, N) through a soft clipper, as loud as it was."""
    level = float(np.sqrt(np.mean(audio**2)))
    if level < _INAUDIBLE:
        return audio
    # A sine of this level would peak 9 dB below where clipping begins.
    clipped = np.tanh(audio * np.float32(10 ** (drive_db / 20) / (4 * level)))
    return np.asarray(clipped * (level / np.sqrt(np.mean(clipped**2))), np.float32)


def _change_tone(audio: Float, tone_db: Sequence[float], sample_rate: int) -> Float:
    """(C, N) with these levels at `_TONE_HZ`."""
    log_hz = np.log(_TONE_HZ)
    return _filter(audio, lambda hz: 10 ** (np.interp(np.log(np.maximum(hz, 1.0)), log_hz, tone_db) / 20), sample_rate)


def _filter(audio: Float, gain: Callable[[NDArray[np.floating]], NDArray[np.floating]], sample_rate: int) -> Float:
    """(..., N) times the gain at each frequency in Hz, without delay. It rings across the ends: of a stem into what a
    change of pitch then cuts off."""
    n_samples = audio.shape[-1]
    n_fft = -(-n_samples // _FFT_MULTIPLE) * _FFT_MULTIPLE
    gains = gain(np.fft.rfftfreq(n_fft, 1 / sample_rate)).astype(np.float32)
    changed = np.fft.irfft(np.fft.rfft(audio, n_fft) * gains, n_fft)
    return np.asarray(changed[..., :n_samples], np.float32)


def n_needed(n_samples: int, tempo: float, *, sample_rate: int) -> tuple[int, int]:
    """Samples to read before an excerpt, and in all, to get `n_samples` at another tempo or pitch."""
    margin = round(MARGIN_S * sample_rate)
    return margin, 2 * margin + int(np.ceil(n_samples * tempo))


def change_pitch_and_tempo(
    audio: Float, *, semitones: float, tempo: float, method: str, n_samples: int, sample_rate: int
) -> Float:
    """(2, M) with the margins of `n_needed` -> (2, n_samples), whose first sample is the first after the margin.

    Resampling moves the pitch, exactly, and what tempo is then left to change a phase vocoder does (Signalsmith
    Stretch; its own pitch shift is no faster, and wrong by up to half a semitone below 100 Hz), or `change_tempo`.
    Onsets are within two milliseconds of where they belong ("wsola": 30). The same input gives the same output, to the
    bit.
    """
    out = np.zeros((len(audio), n_samples), np.float32)
    (loud,) = np.nonzero((np.abs(audio) >= _INAUDIBLE).any(axis=0))
    if not len(loud):
        return out
    margin = round(MARGIN_S * sample_rate)
    first, last = max(int(loud[0]) - margin, 0), int(loud[-1]) + margin
    audio = audio[:, first : max(last, first + 4 * margin)]
    # Many a vocal or bass has the same in both channels.
    changed = audio[:1] if all(np.array_equal(channel, audio[0]) for channel in audio[1:]) else audio
    speed = tempo if method == "resample" else 2 ** (semitones / 12)
    if speed != 1:
        changed = resample(changed, round(sample_rate * speed), sample_rate, quality="MQ")
    if tempo != speed and method == "wsola":
        changed = change_tempo(changed, tempo / speed, sample_rate=sample_rate)
    elif tempo != speed:
        block = round(_BLOCK_S * sample_rate / _BLOCK_MULTIPLE) * _BLOCK_MULTIPLE
        stretch = Stretch(0)
        stretch.configure(len(changed), block, block // _OVERLAP)
        stretch.setTimeFactor(tempo / speed)
        changed = np.asarray(stretch.process(np.ascontiguousarray(changed)), np.float32)
    start = round((first - margin) / tempo)
    changed = changed[:, max(-start, 0) : n_samples - start]
    out[:, max(start, 0) : max(start, 0) + changed.shape[1]] = changed
    return out


def _draw(rng: np.random.Generator, highest: float, step: float) -> float:
    """A number from -highest to highest: any, or a multiple of a step."""
    place = rng.uniform(-1, 1)  # drawn in any case, so that a setting does not change what is drawn after it
    if not step:
        return float(place * highest)
    n_steps = round(highest / step)
    return float((np.floor((place + 1) / 2 * (2 * n_steps + 1)) - n_steps) * step)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)
