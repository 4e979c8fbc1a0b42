"""Stems on disk: what belongs together, what is read, and what is remembered."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import platformdirs
import pytest
import soundfile
import soxr

from conftest import noise, write_av
from dttnet import audio, dataset
from dttnet.dataset import STEMS, VALIDATION_TRACKS, load_dataset
from dttnet.errors import AudioError, UsageError

MakeAudio = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache of the user"
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: folder / name)
    return folder


@pytest.fixture
def count_headers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose headers were read."""
    names: list[str] = []

    def counting(path: Path) -> audio.AudioInfo:
        names.append(path.name)
        return audio.read_info(path)

    monkeypatch.setattr(dataset, "read_info", counting)
    return names


def make_musdb(make_audio: MakeAudio, names: dict[str, str]) -> None:
    """Track name to split: the folder musdb/SPLIT/NAME with five files."""
    for name, split in names.items():
        for stem in (*STEMS, "mixture"):
            make_audio(f"musdb/{split}/{name}/{stem}.wav", noise(100))


def test_musdb_is_found_with_the_papers_validation_tracks(make_audio: MakeAudio, tmp_path: Path) -> None:
    make_musdb(make_audio, {"Leaf - Summerghost": "train", "Zeno - Signs": "train", "Young Griffo - Pennies": "test"})
    found = load_dataset(tmp_path / "musdb")
    assert [(track.name, track.split) for track in found.tracks] == [
        ("Leaf - Summerghost", "valid"),
        ("Young Griffo - Pennies", "test"),
        ("Zeno - Signs", "train"),
    ]
    assert all(tuple(track.stems) == STEMS and track.mixture is not None for track in found.tracks)
    assert not found.loose


def test_the_paper_validates_with_14_of_the_100_training_tracks(make_audio: MakeAudio, tmp_path: Path) -> None:
    for name in (*VALIDATION_TRACKS, *(f"track {number}" for number in range(86))):
        make_audio(f"musdb/train/{name}/vocals.wav", noise(10))
    splits = [track.split for track in load_dataset(tmp_path / "musdb").tracks]
    assert (splits.count("train"), splits.count("valid")) == (86, 14)


def test_a_folder_valid_of_ones_own_replaces_the_papers(make_audio: MakeAudio, tmp_path: Path) -> None:
    make_musdb(make_audio, {"Leaf - Summerghost": "train", "mine": "valid"})
    found = load_dataset(tmp_path / "musdb")
    assert {track.name: track.split for track in found.tracks} == {"Leaf - Summerghost": "train", "mine": "valid"}


def test_tracks_and_loose_files_without_splits_in_any_format(make_audio: MakeAudio, tmp_path: Path) -> None:
    make_audio("mine/song b/vocals.flac", noise(500))
    make_audio("mine/song a/drums.ogg", noise(500))
    write_av(tmp_path / "mine" / "song a" / "bass.m4a", noise(4410), 44100, "aac")
    make_audio("mine/vocals/deep/er/take 2.mp3", noise(500))
    make_audio("mine/vocals/take 1.wav", noise(700))
    make_audio("mine/vocals/._take 1.wav", noise(700))  # what macOS leaves behind
    make_audio("mine/notes/idea.wav", noise(500))
    found = load_dataset(tmp_path / "mine")
    assert [(track.name, track.split, set(track.stems)) for track in found.tracks] == [
        ("song a", "", {"bass", "drums"}),
        ("song b", "", {"vocals"}),
    ]
    assert [clip.path.name for clip in found.loose["vocals"]] == ["take 2.mp3", "take 1.wav"]
    assert set(found.loose) == {"vocals"}


def test_other_stem_names_are_found_on_request(make_audio: MakeAudio, tmp_path: Path) -> None:
    for name in ("guitar", "piano", "vocals"):
        make_audio(f"band/song/{name}.wav", noise(100))
    found = load_dataset(tmp_path / "band", stems=["guitar", "piano"])
    assert tuple(found.tracks[0].stems) == ("guitar", "piano")
    assert found.stems == ("guitar", "piano")


@pytest.mark.parametrize("stems", [[], ["vocals", "vocals"], ["vocals", "Vocals"], ["mixture"], ["Mixture"]])
def test_names_that_make_no_sense_as_stems_are_refused(stems: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="stems are"):
        load_dataset(tmp_path, stems=stems)


def test_nothing_found_says_what_is_there_and_what_was_expected(make_audio: MakeAudio, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere: there is no such folder"):
        load_dataset(tmp_path / "nowhere")
    make_audio("music/album/01 song.wav")
    with pytest.raises(UsageError, match=r"music: no stems found \(there is: album/\)\. Expected TRACK/vocals\.wav"):
        load_dataset(tmp_path / "music")
    make_audio("song/vocals.wav")
    with pytest.raises(UsageError, match="the folder of one track: give the folder that holds it"):
        load_dataset(tmp_path / "song")


def test_all_unreadable_files_are_named_at_once(make_audio: MakeAudio, tmp_path: Path) -> None:
    make_audio("mine/song/bass.wav")
    for name in ("vocals", "drums"):
        (tmp_path / "mine" / "song" / f"{name}.wav").write_bytes(b"no audio at all")
    with pytest.raises(AudioError, match=r"vocals\.wav.*\n.*drums\.wav"):
        load_dataset(tmp_path / "mine")


def test_a_link_to_nothing_is_unreadable_not_silent(make_audio: MakeAudio, tmp_path: Path) -> None:
    make_audio("mine/song/bass.wav")
    (tmp_path / "mine" / "song" / "vocals.wav").symlink_to(tmp_path / "gone.wav")
    with pytest.raises(AudioError, match=r"song/vocals\.wav: cannot be read \(No such file"):
        load_dataset(tmp_path / "mine")


def test_linked_folders_of_loose_files_are_followed_and_loops_end(make_audio: MakeAudio, tmp_path: Path) -> None:
    make_audio("elsewhere/take 2.wav")
    make_audio("mine/vocals/take 1.wav")
    (tmp_path / "mine" / "vocals" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "mine" / "vocals")
    loose = load_dataset(tmp_path / "mine").loose["vocals"]
    assert [str(clip.path.relative_to(tmp_path)) for clip in loose] == [
        "mine/vocals/more/take 2.wav",
        "mine/vocals/take 1.wav",
    ]


def test_stems_are_found_in_upper_and_lower_case(make_audio: MakeAudio, tmp_path: Path) -> None:
    make_audio("mine/train/b/Vocals.wav")
    make_audio("mine/train/b/MIXTURE.WAV")
    make_audio("mine/Drums/loop.wav")
    found = load_dataset(tmp_path / "mine")
    (track,) = found.tracks
    assert set(track.stems) == {"vocals"}
    assert track.mixture is not None
    assert set(found.loose) == {"drums"}
    (asked,) = load_dataset(tmp_path / "mine", stems=["VOCALS"]).tracks
    assert set(asked.stems) == {"VOCALS"}


def test_folders_with_audio_that_give_no_track_are_told(make_audio: MakeAudio, tmp_path: Path) -> None:
    make_audio("mine/train/a/vocals.wav")
    make_audio("mine/train/album/b/vocals.wav")
    make_audio("mine/sketches/idea.wav")
    (tmp_path / "mine" / "train" / "empty").mkdir()
    found = load_dataset(tmp_path / "mine")
    assert [track.name for track in found.tracks] == ["a"]
    assert found.unused == (tmp_path / "mine" / "sketches", tmp_path / "mine" / "train" / "album" / "b")


def test_tracks_whose_mixture_has_more_than_their_stems_are_told(make_audio: MakeAudio, tmp_path: Path) -> None:
    for name in ("mixture", "vocals"):
        make_audio(f"mine/pair/{name}.wav")
    make_audio("mine/no mixture/vocals.wav")
    assert [track.name for track in load_dataset(tmp_path / "mine").incomplete] == ["pair"]
    assert not load_dataset(tmp_path / "mine", stems=["vocals"]).incomplete


def test_samples_that_are_no_numbers_are_named_where_they_are_read(make_audio: MakeAudio, tmp_path: Path) -> None:
    samples = 0.1 * noise(44_100)
    samples[22_050, 1] = np.nan
    make_audio("mine/song/vocals.wav", samples, subtype="FLOAT")
    track = load_dataset(tmp_path / "mine").tracks[0]
    assert np.isfinite(track.read("vocals", 0, 22_050)).all()
    with pytest.raises(AudioError, match=r"vocals\.wav: its sample at 0\.50 s is NaN or infinite"):
        track.read("vocals", 20_000, 10_000)


def test_two_files_for_one_stem_are_refused(make_audio: MakeAudio, tmp_path: Path) -> None:
    make_audio("mine/song/vocals.wav")
    make_audio("mine/song/vocals.flac")
    with pytest.raises(UsageError, match=r"vocals\.wav: a second file for vocals, beside vocals\.flac"):
        load_dataset(tmp_path / "mine")


def test_a_track_is_stereo_and_padded_with_zeros(make_audio: MakeAudio, tmp_path: Path) -> None:
    vocals, drums = noise(1000, 1), noise(600)
    make_audio("mine/song/vocals.wav", vocals, subtype="FLOAT")
    make_audio("mine/song/drums.wav", drums, subtype="FLOAT")
    track = load_dataset(tmp_path / "mine").tracks[0]
    assert (track.sample_rate, track.n_samples, track.duration_s) == (44100, 1000, 1000 / 44100)
    vocals, drums = vocals.T.astype(np.float32), drums.T.astype(np.float32)
    np.testing.assert_array_equal(track.read("vocals"), np.repeat(vocals, 2, axis=0))
    padded = np.pad(drums, ((0, 0), (0, 400)))
    np.testing.assert_array_equal(track.read("drums"), padded)
    np.testing.assert_array_equal(track.read("drums", 500, 200), padded[:, 500:700])
    np.testing.assert_array_equal(track.read("drums", -50, 100), np.pad(drums[:, :50], ((0, 0), (50, 0))))
    assert not track.read("drums", 5000, 10).any()
    assert track.read("drums", -20, 10).shape == (2, 10)
    silence = track.read("bass")
    assert silence.shape == (2, 1000)
    assert silence.dtype == np.float32
    assert not silence.any()


def test_the_mixture_is_its_file_or_the_sum_of_the_stems(make_audio: MakeAudio, tmp_path: Path) -> None:
    stems = {stem: noise(300, seed=number) for number, stem in enumerate(STEMS)}
    for stem, samples in stems.items():
        make_audio(f"mine/song/{stem}.wav", samples, subtype="FLOAT")
    mixture = load_dataset(tmp_path / "mine").tracks[0].read("mixture", 100, 50)
    np.testing.assert_allclose(mixture, sum(stems.values()).T[:, 100:150], atol=1e-6)  # float32 sums
    make_audio("mine/song/mixture.wav", 0.1 * stems["bass"], subtype="FLOAT")
    mixture = load_dataset(tmp_path / "mine").tracks[0].read("mixture")
    np.testing.assert_array_equal(mixture, (0.1 * stems["bass"]).T.astype(np.float32))


@pytest.mark.parametrize(("name", "subtype"), [("a.wav", "PCM_16"), ("a.flac", "PCM_24"), ("a.ogg", None)])
def test_an_excerpt_is_what_decoding_everything_gives_there(
    name: str, subtype: str | None, make_audio: MakeAudio, tmp_path: Path
) -> None:
    path = make_audio(f"vocals/{name}", noise(50_000), subtype=subtype)
    clip = load_dataset(tmp_path).loose["vocals"][0]
    with audio.open_audio(path) as reader:
        whole = np.concatenate(list(reader.blocks()), axis=1)
    assert clip.n_samples == whole.shape[1]
    for start, n_samples in ((0, 10), (1, 4096), (12_345, 20_000), (49_990, 500), (60_000, 5)):
        np.testing.assert_array_equal(clip.read(start, n_samples), whole[:, start : start + n_samples])
    np.testing.assert_array_equal(clip.read(40_000), whole[:, 40_000:])


@pytest.mark.parametrize("name", ["a.mp3", "a.m4a"])
def test_formats_that_cannot_seek_exactly_are_decoded_from_the_start(name: str, tmp_path: Path) -> None:
    (tmp_path / "vocals").mkdir()
    path = tmp_path / "vocals" / name
    write_av(path, noise(50_000), 44100, "mp3" if name.endswith("mp3") else "aac")
    clip = load_dataset(tmp_path).loose["vocals"][0]
    with audio.open_audio(path) as reader:
        whole = np.concatenate(list(reader.blocks()), axis=1)
    assert clip.n_samples == whole.shape[1]
    np.testing.assert_array_equal(clip.read(12_345, 20_000), whole[:, 12_345:32_345])


@pytest.mark.parametrize("name", ["long.wav", "long.flac", "long.ogg"])
def test_only_what_is_needed_is_decoded(
    name: str, make_audio: MakeAudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_audio(f"vocals/{name}", noise(200_000))
    clip = load_dataset(tmp_path).loose["vocals"][0]
    asked: list[int] = []
    original = soundfile.SoundFile.read

    def counting(file: soundfile.SoundFile, frames: int = -1, **options: object) -> object:
        asked.append(frames)
        return original(file, frames, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    clip.read(150_000, 1000)
    assert asked == [1000]


@pytest.mark.parametrize("start", [0, 1, 480, 20_000, 47_000])
def test_an_excerpt_at_another_rate_is_cut_out_of_the_whole_resampled_file(
    start: int, make_audio: MakeAudio, tmp_path: Path
) -> None:
    samples = noise(44_100)
    make_audio("mine/song/vocals.wav", samples, subtype="FLOAT")
    make_audio("mine/song/bass.wav", noise(48_000), rate=48_000)
    track = load_dataset(tmp_path / "mine").tracks[0]
    assert (track.sample_rate, track.n_samples) == (48_000, 48_000)
    whole = soxr.resample(samples.astype(np.float32), 44_100, 48_000, quality="VHQ").T
    expected = np.pad(whole, ((0, 0), (0, 1000)))[:, start : start + 1000]
    # What the filter sees beyond the margin is 2048 samples away: nothing is left of it in float32.
    np.testing.assert_allclose(track.read("vocals", start, 1000), expected, atol=1e-6)
    np.testing.assert_array_equal(track.read("bass", start, 1000, sample_rate=48_000), track.read("bass", start, 1000))
    assert track.read("vocals", sample_rate=22_050).shape == (2, 22_050)


def test_headers_are_read_once(make_audio: MakeAudio, tmp_path: Path, count_headers: list[str]) -> None:
    make_musdb(make_audio, {"song": "train"})
    first = load_dataset(tmp_path / "musdb")
    assert len(count_headers) == 5
    assert load_dataset(tmp_path / "musdb") == first
    assert len(count_headers) == 5
    load_dataset(tmp_path / "musdb", cache=False)
    assert len(count_headers) == 10


def test_a_changed_file_is_read_again(make_audio: MakeAudio, tmp_path: Path, count_headers: list[str]) -> None:
    make_musdb(make_audio, {"song": "train"})
    load_dataset(tmp_path / "musdb")
    del count_headers[:]
    longer = make_audio("musdb/train/song/bass.wav", noise(200))
    assert load_dataset(tmp_path / "musdb").tracks[0].stems["bass"].n_samples == 200
    same_size = tmp_path / "musdb/train/song/drums.wav"
    os.utime(same_size, ns=(0, same_size.stat().st_mtime_ns + 1_000_000))
    load_dataset(tmp_path / "musdb")
    assert count_headers == [longer.name, same_size.name]


@pytest.mark.parametrize("content", ["", "[]", "[1, 2]", '{"x": 1}', "\x00"])
def test_a_broken_cache_is_no_error(
    content: str, make_audio: MakeAudio, tmp_path: Path, cache_folder: Path, count_headers: list[str]
) -> None:
    make_musdb(make_audio, {"song": "train"})
    load_dataset(tmp_path / "musdb")
    (stored,) = cache_folder.rglob("*.json")
    stored.write_text(content)
    assert load_dataset(tmp_path / "musdb").tracks[0].n_samples == 100
    assert len(count_headers) == 10


def test_a_cache_folder_that_cannot_be_written_is_no_error(
    make_audio: MakeAudio, tmp_path: Path, cache_folder: Path
) -> None:
    make_musdb(make_audio, {"song": "train"})
    cache_folder.write_text("a file where the folder should be")
    assert load_dataset(tmp_path / "musdb").tracks[0].n_samples == 100


def test_files_are_not_touched_and_the_folder_gets_no_others(make_audio: MakeAudio, tmp_path: Path) -> None:
    make_musdb(make_audio, {"Leaf - Summerghost": "train", "song": "test"})

    def state() -> dict[str, tuple[int, bytes]]:
        files = sorted(path for path in (tmp_path / "musdb").rglob("*") if path.is_file())
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = state()
    for track in load_dataset(tmp_path / "musdb").tracks:
        track.read("mixture")
    assert state() == before


def test_a_file_that_went_away_is_named(make_audio: MakeAudio, tmp_path: Path) -> None:
    make_musdb(make_audio, {"song": "train"})
    track = load_dataset(tmp_path / "musdb").tracks[0]
    (tmp_path / "musdb/train/song/bass.wav").unlink()
    with pytest.raises(AudioError, match=r"bass\.wav: cannot be read"):
        track.read("bass")


def test_a_negative_start_of_a_clip_is_refused(make_audio: MakeAudio, tmp_path: Path) -> None:
    make_audio("vocals/a.wav")
    with pytest.raises(UsageError, match="start is -1"):
        load_dataset(tmp_path).loose["vocals"][0].read(-1, 5)


def test_a_dataset_travels_to_other_processes(make_audio: MakeAudio, tmp_path: Path) -> None:
    make_musdb(make_audio, {"song": "train"})
    found = load_dataset(tmp_path / "musdb")
    assert pickle.loads(pickle.dumps(found)) == found
