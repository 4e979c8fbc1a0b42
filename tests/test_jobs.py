"""Inputs from files, folders and globs; outputs from a template; collisions."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from dttnet.errors import UsageError
from dttnet.jobs import DEFAULT_TEMPLATE, Job, find_inputs, plan


@pytest.fixture
def music(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with some music in it."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "b.wav",
        "a.FLAC",
        "cover.jpg",
        ".hidden.wav",
        "album/one.mp3",
        "album/disc 2/two.m4a",
        "album/notes.txt",
        "odd/[live] {x} *.wav",
        "odd/x.wav/three.ogg",
        "empty/nothing.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("never opened")
    return tmp_path


def outputs(
    *sources: str,
    template: str = DEFAULT_TEMPLATE,
    out: str = "separated",
    stems: tuple[str, ...] = ("vocals",),
) -> list[list[str]]:
    jobs = plan(
        [Path(source) for source in sources], out=Path(out), template=template, model="small", stems=stems, ext="wav"
    )
    return [[str(path) for path in job.outputs.values()] for job in jobs]


# Inputs


@pytest.mark.usefixtures("music")
@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["b.wav"], ["b.wav"]),
        (["b.wav", "a.FLAC"], ["b.wav", "a.FLAC"]),
        (["cover.jpg"], ["cover.jpg"]),  # named: its reader says what is wrong with it
        (["missing.wav"], ["missing.wav"]),
        (["album"], ["album/disc 2/two.m4a", "album/one.mp3"]),
        (["odd"], ["odd/[live] {x} *.wav", "odd/x.wav/three.ogg"]),
        (
            ["."],
            [
                "a.FLAC",
                "album/disc 2/two.m4a",
                "album/one.mp3",
                "b.wav",
                "odd/[live] {x} *.wav",
                "odd/x.wav/three.ogg",
            ],
        ),
        (["*.wav"], [".hidden.wav", "b.wav"]),
        (["?.*"], ["a.FLAC", "b.wav"]),
        (["album/*/*.m4a"], ["album/disc 2/two.m4a"]),
        (["**/*.m[p4]?"], ["album/disc 2/two.m4a", "album/one.mp3"]),
        (["album/**/*.m*"], ["album/disc 2/two.m4a", "album/one.mp3"]),
        (["odd/[live] {x} *.wav"], ["odd/[live] {x} *.wav"]),  # a name, though it looks like a pattern
        (["b.wav", "*.wav", "./b.wav", "album/../b.wav"], ["b.wav", ".hidden.wav"]),
    ],
)
def test_inputs_are_found_in_order_and_once(arguments: list[str], found: list[str]) -> None:
    assert [str(path) for path in find_inputs(arguments)] == found


def test_absolute_and_relative_ways_to_a_file_are_one_input(music: Path) -> None:
    assert find_inputs(["b.wav", str(music / "b.wav"), str(music / "*.wav")]) == [
        Path("b.wav"),
        music / ".hidden.wav",
    ]


def test_a_link_with_another_name_is_another_song(music: Path) -> None:
    (music / "c.wav").symlink_to("b.wav")
    assert find_inputs(["b.wav", "c.wav"]) == [Path("b.wav"), Path("c.wav")]


@pytest.mark.usefixtures("music")
@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("empty", "empty: the folder holds no audio files"),
        ("*.ape", r"\*\.ape: no file matches"),
        ("[live].wav", "no file matches"),
        ("x**.wav", r"x\*\*\.wav: .*"),
    ],
)
def test_folders_and_globs_without_audio_are_wrong_usage(argument: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_inputs([argument])


def test_stems_of_an_earlier_run_are_no_inputs(music: Path) -> None:
    for name in ("album/separated/small/one/vocals.wav", "album/small/one/vocals.wav"):
        (music / name).parent.mkdir(parents=True)
        (music / name).write_text("never opened")
    songs = [Path("album/disc 2/two.m4a"), Path("album/one.mp3")]
    earlier = [Path("album/separated/small/one/vocals.wav")]
    in_place = [Path("album/small/one/vocals.wav")]
    # Written to a folder inside the one that is searched ...
    assert find_inputs(["album"], leave_out=[Path("album/separated")]) == [*songs, *in_place]
    # ... or beside the songs.
    assert find_inputs(["album"], leave_out=[Path("album"), Path("album/small")]) == [*songs, *earlier]
    # Nor does a pattern find them.
    assert find_inputs(["album/**/*.[mw]*"], leave_out=[Path("album/separated"), Path("album/small")]) == songs
    # But they may be asked for.
    assert find_inputs(["album/separated/small/*/*.wav"], leave_out=[Path("album/separated")]) == earlier
    assert find_inputs(["album/separated"], leave_out=[Path("album/separated")]) == earlier
    assert find_inputs(["album/separated/small/one/vocals.wav"], leave_out=[Path("album/separated")]) == earlier


# Outputs


def test_the_default_layout_is_model_track_stem() -> None:
    assert outputs("music/song.flac", stems=("vocals", "drums")) == [
        ["separated/small/song/vocals.wav", "separated/small/song/drums.wav"]
    ]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{track} ({stem}).{ext}", "song (vocals).wav"),
        ("{stem}/{model}/{track}.{ext}", "vocals/small/song.wav"),
        ("{{{stem}}}.{ext}", "{vocals}.wav"),
        ("{stem:_>10}", "____vocals"),
    ],
)
def test_templates_name_the_files(template: str, expected: str) -> None:
    assert outputs("song.wav", template=template) == [[f"separated/small/{expected}"]]


@pytest.mark.parametrize(
    "name", ["{stem}", "{", "}{", "{0}", "100%", "a.b.c", "😀 é", " ", "-x", "[x]*?", os.fsdecode(b"\xff")]
)
def test_odd_names_stay_as_they_are(name: str) -> None:
    assert outputs(f"music/{name}.wav") == [[f"separated/small/{name}/vocals.wav"]]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{track}/{song}.wav", r"\{song\} is not known; use \{track\}, \{stem\}, \{ext\} and \{model\}"),
        ("{}.wav", r"\{\} is not known"),
        ("{0}/{stem}", r"\{0\} is not known"),
        ("{track.parent}/{stem}", r"\{track\.parent\} is not known"),
        ("{stem", "expected '}' before end of string"),
        ("{stem:d}", "Unknown format code 'd'"),
        ("{stem:{song}}", "song"),
        ("{track}{stem:.0}.{ext}", r"several stems of song\.wav would be written to"),
        ("{track}.{ext}", r"needs \{stem\}, or all stems would go to one file"),
        ("../{stem}", "leads out of the output folder"),
        ("{track}/../../{stem}", "leads out of the output folder"),
        ("/tmp/{stem}", "leads out of the output folder"),
    ],
)
def test_templates_that_make_no_sense_are_wrong_usage(template: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        outputs("song.wav", template=template, stems=("vocals", "drums"))


def test_one_stem_needs_no_stem_in_the_template() -> None:
    assert outputs("song.wav", template="{track}.{ext}") == [["separated/small/song.wav"]]


def test_a_track_that_is_named_like_the_folder_above_stays_inside() -> None:
    with pytest.raises(UsageError, match="leads out of the output folder"):
        outputs("...wav")  # its stem is ".."


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("cd1/song.wav", "cd2/song.wav"),
        ("song.wav", "song.flac"),
        ("Song.wav", "sONG.wav"),
        (unicodedata.normalize("NFC", "é.wav"), unicodedata.normalize("NFD", "é.wav")),
    ],
)
def test_inputs_with_the_same_outputs_are_wrong_usage(first: str, second: str) -> None:
    with pytest.raises(UsageError, match=f"{first} and {second} would both be written to separated/small/"):
        outputs(first, second)
    # Songs of other names are no trouble.
    assert len(outputs(first, "other/" + second.replace("ong", "ing").replace("wav", "x.wav"))) == 2


def test_stems_of_different_songs_in_one_file_are_wrong_usage() -> None:
    with pytest.raises(UsageError, match=r"a\.wav and b\.wav would both be written to separated/small/vocals\.wav"):
        outputs("a.wav", "b.wav", template="{stem}.{ext}")


@pytest.mark.parametrize("written", ["{track}.{ext}", "{track}.WAV"])
def test_an_output_never_overwrites_an_input(written: str) -> None:
    with pytest.raises(UsageError, match=r"would overwrite an input; choose another -o or --filename"):
        outputs("music/small/a.wav", out="music", template=written)
    with pytest.raises(UsageError, match="would overwrite an input"):
        outputs("b.wav", "music/small/a/vocals.wav", "a.flac", out="music")


def test_an_output_never_overwrites_an_input_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "small").symlink_to("real")
    with pytest.raises(UsageError, match="would overwrite an input"):
        outputs(str(tmp_path / "real" / "a.wav"), out=str(tmp_path), template="{track}.{ext}")


def test_what_may_not_be_looked_at_is_left_for_the_work_to_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    # Root may look everywhere: changing modes shows nothing where tests run as root.
    monkeypatch.setattr(os, "stat", refuse)
    assert find_inputs(["locked/a.wav"]) == [Path("locked/a.wav")]
    assert not Job(source=Path("a.wav"), outputs={"vocals": Path("locked/vocals.wav")}).is_done


@pytest.mark.usefixtures("music")
def test_a_folder_that_may_not_be_searched_is_left_for_the_work_to_report(monkeypatch: pytest.MonkeyPatch) -> None:
    search = os.scandir

    def refuse(place: Path | str) -> object:
        if str(place) == "album/disc 2":
            raise PermissionError(13, "Permission denied", place)
        return search(place)

    monkeypatch.setattr(os, "scandir", refuse)
    assert find_inputs(["album"]) == [Path("album/disc 2"), Path("album/one.mp3")]


def test_a_link_that_leads_nowhere_is_left_for_the_work_to_report(music: Path) -> None:
    (music / "album" / "a.wav").symlink_to("b.wav")
    (music / "album" / "b.wav").symlink_to("a.wav")
    inputs = find_inputs(["album/b.wav", "album/one.mp3"])
    jobs = plan(inputs, out=Path("out"), template=DEFAULT_TEMPLATE, model="m", stems=["vocals"], ext="wav")
    assert [job.source for job in jobs] == [Path("album/b.wav"), Path("album/one.mp3")]


def test_links_to_folders_are_not_followed(music: Path) -> None:
    (music / "album" / "back").symlink_to("..")
    assert find_inputs(["album"]) == [Path("album/disc 2/two.m4a"), Path("album/one.mp3")]


def test_a_job_is_done_when_all_its_files_are_there(tmp_path: Path) -> None:
    job = Job(source=Path("a.wav"), outputs={stem: tmp_path / stem for stem in ("vocals", "drums")})
    assert not job.is_done
    (tmp_path / "vocals").touch()
    assert not job.is_done
    (tmp_path / "drums").touch()
    assert job.is_done
