"""Effects: by analytic responses, slow obvious oracles, and physics."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from dttnet.songs import effects
from dttnet.songs.effects import Band
from dttnet.songs.signals import RATE, level_db, lowpass, mono


def noise(n_samples: int = RATE, *, seed: int = 0, n_channels: int = 2, gain: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (gain * rng.standard_normal((n_channels, n_samples))).astype(np.float32)


def click(n_samples: int, *, n_channels: int = 1) -> np.ndarray:
    x = np.zeros((n_channels, n_samples), np.float32)
    x[:, 0] = 1
    return x


def sine(hz: float, n_samples: int = RATE, gain: float = 0.5) -> np.ndarray:
    return (gain * np.sin(2 * np.pi * hz / RATE * np.arange(n_samples)))[None].astype(np.float32)


RNG = np.random.default_rng
EFFECTS = {
    "equalise": lambda x: effects.equalise(x, [Band("peak", 500, 3)]),
    "compress": lambda x: effects.compress(x, threshold_db=-30, ratio=4, attack_s=0.01, release_s=0.1),
    "saturate": lambda x: effects.saturate(x, 12),
    "reverb": lambda x: effects.reverb(x, RNG(0), decay_s=0.5, wet=0.3, pre_s=0.01),
    "delay": lambda x: effects.delay(x, time_s=0.1, feedback=0.5, wet=0.3),
    "chorus": lambda x: effects.chorus(x, RNG(0), rate_hz=1, depth_s=0.002, wet=0.5),
    "phaser": lambda x: effects.phaser(x, RNG(0), rate_hz=1, wet=1),
    "tremolo": lambda x: effects.tremolo(x, rate_hz=5, depth=0.5),
    "double": lambda x: effects.double(x, RNG(0), n=2, spread=0.5),
    "place": lambda x: effects.place(x, pan=0.3, width=0.5),
    "ogg": lambda x: effects.lossy(x, format="ogg", level=0.5),
}


@pytest.mark.parametrize("name", EFFECTS)
@pytest.mark.parametrize("n_samples", [0, 1, 63, 64, 65, 4411])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_keeps_length_type_and_input(name: str, n_samples: int, n_channels: int) -> None:
    x = noise(n_samples, n_channels=n_channels)
    before = x.copy()
    y = EFFECTS[name](x)
    assert y.shape[1] == n_samples
    assert y.dtype == np.float32
    assert np.isfinite(y).all()
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(y, EFFECTS[name](x))


# ---------------------------------------------------------------------------------------------------- equalisers


def cookbook(band: Band, hz: np.ndarray) -> np.ndarray:
    """The gain in dB from the analogue prototypes that the cookbook transforms, at bilinearly warped frequencies."""
    a = 10 ** (band.gain_db / 40)
    s = 1j * np.tan(np.pi * hz / RATE) / np.tan(np.pi * band.hz / RATE)
    if band.kind == "peak":
        h = (s**2 + s * a / band.q + 1) / (s**2 + s / (a * band.q) + 1)
    elif band.kind == "highpass":
        h = s**2 / (s**2 + s / band.q + 1)
    elif band.kind == "lowpass":
        h = 1 / (s**2 + s / band.q + 1)
    elif band.kind == "low":
        h = a * (s**2 + s * np.sqrt(a) / band.q + a) / (a * s**2 + s * np.sqrt(a) / band.q + 1)
    else:
        h = a * (a * s**2 + s * np.sqrt(a) / band.q + 1) / (s**2 + s * np.sqrt(a) / band.q + a)
    return 20 * np.log10(np.abs(h))


@pytest.mark.parametrize(
    "band",
    [
        Band("peak", 60, 9, 1.5),
        Band("peak", 3000, -12, 4),
        Band("low", 100, 6),
        Band("low", 300, -15, 1.2),
        Band("high", 8000, 5),
        Band("high", 2000, -8),
        Band("highpass", 60),
        Band("lowpass", 4000, q=1.3),
    ],
)
def test_equalise_has_the_analytic_response(band: Band) -> None:
    y = effects.equalise(click(RATE), [band])
    hz = np.fft.rfftfreq(RATE, 1 / RATE)
    measured = 20 * np.log10(np.abs(np.fft.rfft(y[0].astype(np.float64))))
    # float32 samples of the response: an error of 2e-3 dB, more where little is left.
    expected = cookbook(band, hz[1:-1])
    is_heard = expected > -80
    np.testing.assert_allclose(measured[1:-1][is_heard], expected[is_heard], atol=2e-3)


def test_equalise_chains_bands_and_leaves_alone_what_has_no_gain() -> None:
    x, one, two = noise(), Band("low", 200, 4), Band("peak", 2000, -6, 2)
    np.testing.assert_allclose(
        effects.equalise(x, [one, two]), effects.equalise(effects.equalise(x, [one]), [two]), atol=1e-6
    )
    np.testing.assert_array_equal(effects.equalise(x, [Band("peak", 100, 0)]), x)


# ------------------------------------------------------------------------------------------------------ dynamics


def slow_compression(key: np.ndarray, threshold_db, ratio, attack_s, release_s, knee_db=6.0) -> np.ndarray:
    """One sample after the other, one hop at a time."""
    gain_db, previous, out = 0.0, 1.0, []
    for start in range(0, key.shape[1], effects.HOP):
        level_db_ = 20 * np.log10(max(np.abs(key[:, start : start + effects.HOP]).max(), 1e-6))
        over = level_db_ - threshold_db
        if over <= -knee_db / 2:
            target = 0.0
        elif over <= knee_db / 2:
            target = -(1 - 1 / ratio) * (over + knee_db / 2) ** 2 / (2 * knee_db)
        else:
            target = -(1 - 1 / ratio) * over
        time_s = attack_s if target < gain_db else release_s
        gain_db = target + (gain_db - target) * np.exp(-effects.HOP / RATE / time_s)
        now = 10 ** (gain_db / 20)
        out += [previous + (now - previous) * (i + 1) / effects.HOP for i in range(effects.HOP)]
        previous = now
    return np.array(out)[: key.shape[1]]


def test_compression_equals_the_slow_oracle() -> None:
    x = noise(10_007) * np.linspace(0, 3, 10_007, dtype=np.float32)
    options = {"threshold_db": -20.0, "ratio": 4.0, "attack_s": 0.005, "release_s": 0.08}
    gain = effects.compression(x, **options)
    np.testing.assert_allclose(gain, slow_compression(x, **options), atol=2e-7)
    np.testing.assert_array_equal(effects.compress(x, makeup_db=20, **options), x * (gain * np.float32(10)))


def test_compress_lets_the_excess_through_by_its_ratio() -> None:
    x = sine(1000, 2 * RATE, gain=1.0)
    y = effects.compress(x, threshold_db=-20, ratio=4, attack_s=0.005, release_s=0.5)
    assert 20 * np.log10(np.abs(y[:, RATE:]).max()) == pytest.approx(-15, abs=0.05)


def test_limiting_keeps_every_sample_below_the_ceiling() -> None:
    x = noise(RATE + 17, gain=0.3)
    x[:, 20_000] = 5
    x[:, 0] = x[:, -1] = 3
    gain = effects.limiting(x, ceiling=0.5, release_s=0.05)
    assert np.abs(x * gain).max() <= 0.5
    # It does not do more than it must: the loud place is as loud as it may be.
    assert np.abs(x * gain)[:, 20_000].max() > 0.3
    assert np.abs(np.diff(gain)).max() < 0.02
    np.testing.assert_array_equal(effects.limiting(x * 0.05, ceiling=0.5, release_s=0.05), 1)


def test_gating_shuts_between_what_is_loud() -> None:
    x = np.zeros((1, 2 * RATE), np.float32)
    x[:, 5000:10_000] = 0.5
    gain = effects.gating(x, threshold_db=-30, hold_s=0.1, release_s=0.02)
    assert gain[5500:9900].min() > 0.95
    # Held for a tenth of a second, then 60 dB down.
    assert gain[10_000 + 4300] > 0.95
    assert gain[10_000 + 12_000] < 0.01


# ---------------------------------------------------------------------------------------------------- distortion


@pytest.mark.parametrize("kind", ["tanh", "tube", "hard"])
@pytest.mark.parametrize("drive_db", [0.0, 3.0, 18.0])
def test_saturate_stays_in_time_and_in_range(kind: str, drive_db: float) -> None:
    x = lowpass(noise(gain=0.5), 2000)
    y = effects.saturate(x, drive_db, kind=kind)
    assert np.abs(y).max() < 1.25  # the oversampling filter rings around edges
    lag = np.argmax(signal.correlate(y[0], x[0], method="fft")) - (RATE - 1)
    assert lag == 0


def test_saturate_bends_by_its_formula_where_it_makes_no_new_treble() -> None:
    x = sine(200, gain=0.8)
    y = effects.saturate(x, 3, kind="tanh")
    drive = 10 ** (3 / 20)
    np.testing.assert_allclose(y, np.tanh(drive * x) / np.tanh(drive), atol=1e-6)
    # With oversampling it is the same but for the filters.
    drive = 10 ** (12 / 20)
    np.testing.assert_allclose(
        effects.saturate(x, 12)[:, 500:-500], (np.tanh(drive * x) / np.tanh(drive))[:, 500:-500], atol=1e-3
    )


def test_tube_adds_even_harmonics_and_no_direct_current() -> None:
    y = effects.saturate(sine(440), 9, kind="tube")[0]
    spectrum = np.abs(np.fft.rfft(y[RATE // 2 :] * np.hanning(RATE // 2)))
    assert spectrum[440] > 0.02 * spectrum[220]  # bins of 2 Hz
    assert abs(y[RATE // 2 :].mean()) < 1e-3


def test_oversampling_keeps_aliases_away() -> None:
    x = sine(9000, gain=0.9)
    hz = np.fft.rfftfreq(RATE // 2, 1 / RATE)
    window = np.hanning(RATE // 2)

    def worst_alias(y: np.ndarray) -> float:
        spectrum = np.abs(np.fft.rfft(y[0, RATE // 4 : 3 * RATE // 4] * window))
        return float(spectrum[np.abs(hz - 9000) > 200].max() / spectrum.max())

    # The fifth harmonic, 45 kHz, would fold to 900 Hz.
    assert worst_alias(effects.saturate(x, 12)) < 0.5 * worst_alias(np.tanh(x * 4))


# --------------------------------------------------------------------------------------------------------- rooms


def decay_time_s(response: np.ndarray) -> float:
    """T60 of the middle frequencies by Schroeder's backward integral, from -5 to -35 dB."""
    middle = signal.sosfilt(signal.butter(2, [400, 2000], "bandpass", fs=RATE, output="sos"), response)
    energy = np.cumsum((middle**2).sum(axis=0)[::-1])[::-1]
    db = 10 * np.log10(energy / energy[0] + 1e-12)
    first, last = np.argmax(db < -5), np.argmax(db < -35)
    return float((last - first) / RATE * 2)


@pytest.mark.parametrize("kind", ["room", "hall", "plate", "spring"])
@pytest.mark.parametrize("decay_s", [0.4, 1.0, 2.2])
def test_reverb_decays_in_the_time_asked_for(kind: str, decay_s: float) -> None:
    response = effects.room_response(RNG(1), decay_s=decay_s, kind=kind)
    # Random tails and few echoes of a spring; hearing tells 5 to 10 % apart at best.
    assert decay_time_s(response) == pytest.approx(decay_s, rel=0.25)


@pytest.mark.parametrize("kind", ["room", "hall", "plate", "spring"])
def test_reverb_has_no_direct_current_and_as_much_energy_as_asked(kind: str) -> None:
    x = noise(2 * RATE, n_channels=1)
    wet = effects.reverb(x, RNG(2), decay_s=0.6, wet=0.5, kind=kind) - x
    assert level_db(wet[:, RATE:]) == pytest.approx(level_db(x) - 6, abs=1.5)
    constant = np.full((1, 2 * RATE), 0.5, np.float32)
    assert np.abs((effects.reverb(constant, RNG(2), decay_s=0.6, wet=1, kind=kind) - constant)[:, -100:]).max() < 0.02


@pytest.mark.parametrize("kind", ["room", "hall", "plate", "spring"])
@pytest.mark.parametrize("seed", range(4))
def test_reverb_survives_mono(kind: str, seed: int) -> None:
    response = effects.room_response(RNG(seed), decay_s=0.8, kind=kind)
    # Unrelated sides lose 3 dB in mono, sides out of phase all.
    assert level_db(mono(response)) > level_db(response) - 5


def test_reverb_begins_after_the_dry_sound() -> None:
    y = effects.reverb(click(RATE), RNG(0), decay_s=0.5, wet=0.5, pre_s=0.05)
    assert y[:, 0] == pytest.approx(1, abs=1e-4)
    assert np.abs(y[:, 1:2200]).max() < 1e-4
    assert np.abs(y[:, 2205:4000]).max() > 1e-3


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("n_samples", [1, 1000, 200_001])
def test_convolve_equals_a_plain_convolution(n_channels: int, n_samples: int) -> None:
    x, response = noise(n_samples, n_channels=n_channels), noise(20_000, seed=1)
    pairs = zip(np.broadcast_to(x.astype(np.float64), (2, n_samples)), response, strict=True)
    expected = [signal.fftconvolve(side, own)[:n_samples] for side, own in pairs]
    np.testing.assert_allclose(effects.convolve(x, response), expected, atol=2e-5)


# --------------------------------------------------------------------------------------------- echoes and motion


def test_delay_is_exact_to_the_sample() -> None:
    y = effects.delay(click(RATE), time_s=0.1, feedback=0.5, wet=0.4, hz=1e6)
    expected = np.zeros(RATE)
    expected[0] = 1
    for k in range(1, 10):
        expected[k * 4410] = 0.4 * 0.5 ** (k - 1)
    np.testing.assert_allclose(y, [expected, expected], atol=1e-6)


def test_delay_loses_treble_with_each_echo() -> None:
    y = effects.delay(click(RATE), time_s=0.2, feedback=0.9, wet=1, hz=3000)[0]
    brightness = [np.abs(np.fft.rfft(y[k * 8820 : k * 8820 + 4096]))[930] for k in (1, 2, 3)]  # 10 kHz
    assert brightness[0] > 2 * brightness[1] > 4 * brightness[2]


def test_ping_pong_takes_turns() -> None:
    y = effects.delay(click(RATE), time_s=0.1, feedback=0.5, wet=0.4, ping_pong=True, hz=1e6)
    assert y[:, 4410] == pytest.approx([0.4, 0], abs=1e-6)
    assert y[:, 8820] == pytest.approx([0, 0.2], abs=1e-6)
    assert y[:, 13230] == pytest.approx([0.1, 0], abs=1e-6)


def test_late_moves_by_samples_and_between_them() -> None:
    x = noise(1000)
    np.testing.assert_allclose(effects.late(x, np.full(1000, 10 / RATE))[:, 10:], x[:, :-10], atol=1e-6)
    half = effects.late(x, np.full(1000, 0.5 / RATE))
    np.testing.assert_allclose(half[:, 1:], (x[:, 1:] + x[:, :-1]) / 2, atol=1e-6)


def test_phaser_cuts_notches_and_tremolo_swings() -> None:
    y = effects.phaser(noise(2 * RATE), RNG(0), rate_hz=1e-4, wet=1)
    _, density = signal.welch(y[0], RATE, nperseg=2048)
    assert density[10:300].min() < 0.05 * np.median(density)
    t = effects.tremolo(np.ones((1, RATE), np.float32), rate_hz=4, depth=0.6)[0]
    assert (t.max(), t.min()) == pytest.approx((1, 0.4), abs=1e-3)
    assert len(signal.find_peaks(-t)[0]) == 4


def test_wander_stays_within_one_and_is_smooth() -> None:
    line = effects.wander(RNG(0), 10 * RATE, hz=0.5)
    assert line.shape == (10 * RATE,)
    assert 0.3 < np.abs(line).max() <= 1
    assert np.abs(np.diff(line)).max() < 20 / RATE


def test_double_widens_and_survives_mono() -> None:
    x = lowpass(noise(n_channels=1), 4000)
    y = effects.double(x, RNG(0), n=2, spread=1.0)
    assert level_db(y[:1] - y[1:]) > -45
    assert level_db(mono(y)) > level_db(x) - 1


# ------------------------------------------------------------------------------------------------ places, codecs


def test_place() -> None:
    x = noise(1000)
    np.testing.assert_array_equal(effects.place(x), x)
    left = effects.place(x, pan=-1)
    np.testing.assert_array_equal(left[0], x[0])
    np.testing.assert_array_equal(left[1], 0)
    narrow = effects.place(x, width=0)
    np.testing.assert_allclose(narrow[0], narrow[1])


@pytest.mark.parametrize("format_", effects.CODECS)
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_lossy_is_aligned_to_the_sample(format_: str, level: float) -> None:
    x = lowpass(noise(30_001), 3000)
    y = effects.lossy(x, format=format_, level=level)
    middle = x[0, 5000:25_000]
    lag = np.argmax(signal.correlate(y[0], middle, mode="valid", method="fft")) - 5000
    assert lag == 0
    assert level_db(y - x) < level_db(x) - (10 if level < 1 else 3)  # noise is what codecs are worst at


def test_lossy_is_worse_at_a_higher_level() -> None:
    x = noise(RATE)
    errors = [level_db(effects.lossy(x, format="ogg", level=level) - x) for level in (0.0, 0.5, 1.0)]
    assert errors[0] < errors[1] < errors[2]


def test_lossy_takes_long_songs() -> None:
    x = noise(40 * RATE, n_channels=1)
    assert level_db(effects.lossy(x, format="ogg", level=0.5) - x) < level_db(x) - 5
