"""The sources of songs: found, licensed, split and read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from dttnet.errors import AudioError, UsageError
from dttnet.songs.library import LICENCES, USES, Library, read_catalogue

RATE = 44100


def write_tone(
    path: Path, *, hz: float = 440.0, duration_s: float = 0.5, rate: int = RATE, lead_s: float = 0.0
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    time_s = np.arange(int(duration_s * rate)) / rate
    tone = 0.5 * np.sin(2 * np.pi * hz * time_s)
    soundfile.write(path, np.concatenate([np.zeros(int(lead_s * rate)), tone]), rate)


def say(root: Path, text: str) -> None:
    (root / "sources.yaml").write_text(text)


OWN = """
- id: mine
  folder: mine
  use: bass.notes
  title: My bass
  author: Me
  url: https://example.org
  licence: CC0-1.0
  held_out: ["b_*"]
"""


def test_every_source_of_the_catalogue_says_whose_it_is_and_may_be_used(tmp_path: Path) -> None:
    catalogue = read_catalogue(tmp_path)
    assert len({source.id for source in catalogue}) == len(catalogue) > 20
    for source in catalogue:
        assert source.use in USES
        assert source.url.startswith("https://")
        assert source.commit
        known = set(source.licence.split(" AND ")) <= LICENCES | {"LicenseRef-Public-Domain"}
        assert known or source.terms


def test_audio_that_no_source_covers_is_refused_with_its_path(tmp_path: Path) -> None:
    write_tone(tmp_path / "drums/muldjord/Snare/01-kit.wav")
    write_tone(tmp_path / "found/on/the/net.wav")
    with pytest.raises(UsageError, match=r"found/on/the/net\.wav: nothing is known of its licence"):
        Library(tmp_path)


def test_sources_of_ones_own_are_read_and_split(tmp_path: Path) -> None:
    say(tmp_path, OWN)
    for name in ("a_c2.wav", "b_d2.wav"):
        write_tone(tmp_path / "mine" / name)
    (training,) = Library(tmp_path).sources("bass.notes")
    assert Library(tmp_path).files(training) == ("a_c2.wav",)
    assert Library(tmp_path, held_out=True).files(training) == ("b_d2.wav",)


def test_sources_are_found_from_below_and_in_hidden_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / ".cache/sources"
    root.mkdir(parents=True)
    say(root, OWN)
    write_tone(root / "mine/a_c2.wav")
    write_tone(root / "mine/.trash/c_c2.wav")
    monkeypatch.chdir(root / "mine")
    library = Library(Path(".."))
    assert library.files(library.sources("bass.notes")[0]) == ("a_c2.wav",)


def test_other_pieces_held_out_or_another_octave_are_other_sources(tmp_path: Path) -> None:
    write_tone(tmp_path / "mine/a_c2.wav")
    prints = []
    for text in (OWN, OWN.replace("b_*", "c_*"), OWN + "  octave: 1\n"):
        say(tmp_path, text)
        prints.append(Library(tmp_path).fingerprint())
    assert prints[0] != prints[1] != prints[2] != prints[0]


def test_a_source_of_ones_own_replaces_that_of_the_catalogue(tmp_path: Path) -> None:
    say(tmp_path, OWN.replace("id: mine", "id: growlybass"))
    assert [source.folder for source in read_catalogue(tmp_path) if source.id == "growlybass"] == ["mine"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (OWN.replace("CC0-1.0", "CC-BY-NC-4.0"), r"source 1 \(mine\): nothing is known of the licence CC-BY-NC-4\.0"),
        (OWN.replace("  licence: CC0-1.0\n", ""), "licence is missing"),
        (OWN.replace("bass.notes", "bass"), "use is 'bass'"),
        (OWN.replace("title", "titel"), "titel is not known and title is missing"),
        (OWN.replace("  folder: mine\n", ""), "give either folder or soundfont"),
        (OWN.replace('["b_*"]', "'b_*'"), r"held_out is 'b_\*': give a list of patterns"),
        (OWN + "  octave: high\n", "octave is 'high': give a whole number"),
        ("mine: yes", "give a list of sources"),
        ("- [", "is no YAML"),
    ],
)
def test_what_is_wrong_with_a_list_of_sources_is_named(tmp_path: Path, changed: str, message: str) -> None:
    say(tmp_path, changed)
    with pytest.raises(UsageError, match=message):
        read_catalogue(tmp_path)


def test_terms_allow_what_no_known_licence_does(tmp_path: Path) -> None:
    say(tmp_path, OWN.replace("CC0-1.0", "LicenseRef-Mine\n  terms: do what you like"))
    assert read_catalogue(tmp_path)[0].terms == "do what you like"


def test_a_folder_without_sources_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has none of the sources: the first would be everything-is-free/train"):
        Library(tmp_path)
    with pytest.raises(UsageError, match="is no folder"):
        Library(tmp_path / "gone")


def test_songs_kept_for_tests_are_not_sources(tmp_path: Path) -> None:
    write_tone(tmp_path / "everything-is-free/train/sodium/bass.wav")
    write_tone(tmp_path / "everything-is-free/test/potassium/bass.wav")
    library = Library(tmp_path)
    (album,) = library.sources("album")
    assert library.files(album) == ("sodium/bass.wav",)


def test_a_hit_begins_at_its_onset_at_full_level_and_is_counted(tmp_path: Path) -> None:
    say(tmp_path, OWN)
    write_tone(tmp_path / "mine/a_c2.wav", lead_s=0.2)
    library = Library(tmp_path)
    (source,) = library.sources("bass.notes")
    x = library.hit(source, "a_c2.wav", longest_s=0.25)
    assert x.shape == (1, RATE // 4)
    assert np.abs(x).max() == pytest.approx(1, abs=1e-3)  # the peak of a sampled sine may lie between samples
    assert np.abs(x[:, :100]).max() > 0.1  # no more than 60 samples of the silence before it
    assert dict(library.used) == {"mine": 0.25}
    assert not x.flags.writeable


def test_a_hit_moved_by_an_octave_is_an_octave_higher_and_half_as_long(tmp_path: Path) -> None:
    say(tmp_path, OWN)
    write_tone(tmp_path / "mine/a_c2.wav", hz=441)
    library = Library(tmp_path)
    (source,) = library.sources("bass.notes")
    x = library.hit(source, "a_c2.wav", semitones=12)
    spectrum = np.abs(np.fft.rfft(x[0] * np.hanning(x.shape[1])))
    assert np.argmax(spectrum) * RATE / x.shape[1] == pytest.approx(882, abs=RATE / x.shape[1])  # a bin
    assert x.shape[1] == pytest.approx(0.25 * RATE, abs=80)  # 60 samples before the onset stay


def test_files_of_other_rates_are_resampled(tmp_path: Path) -> None:
    say(tmp_path, OWN)
    write_tone(tmp_path / "mine/a_c2.wav", rate=22050)
    library = Library(tmp_path)
    (source,) = library.sources("bass.notes")
    assert library.read(source, "a_c2.wav").shape == (1, RATE // 2)
    assert library.excerpt(source, "a_c2.wav", start_s=0.1, duration_s=0.2).shape == (1, 8820)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    say(tmp_path, OWN)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a_c2.wav").write_bytes(b"no sound at all")
    library = Library(tmp_path)
    (source,) = library.sources("bass.notes")
    with pytest.raises(AudioError, match=r"a_c2\.wav"):
        library.hit(source, "a_c2.wav")


def test_sound_fonts_need_a_licence_too(tmp_path: Path) -> None:
    write_tone(tmp_path / "drums/muldjord/Snare/01-kit.wav")
    font = tmp_path / "Unknown.sf2"
    with pytest.raises(UsageError, match="there is no such sound font"):
        Library(tmp_path, soundfonts=[font])
    font.touch()
    with pytest.raises(UsageError, match=r"Unknown\.sf2: nothing is known of its licence"):
        Library(tmp_path, soundfonts=[font])
