"""Command lines: what each ends with, and what it says. Run in this process, with a pack that loads at once."""

import json
import os
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from sidecar.app.recordings import check_recording
from sidecar.cli import main
from sidecar.consent.audit import verify
from tests.media_files import write_recording
from tests.test_analyze_pack import voice_pack


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with a short recording, and settings that name nothing else on this machine."""
    for name in [name for name in os.environ if name.startswith(("SIDECAR_", "LIVEKIT_", "REDIS_"))]:
        monkeypatch.delenv(name)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    voice_pack(tmp_path / "pack")
    monkeypatch.setenv("SIDECAR_MODELS", str(tmp_path / "pack"))
    write_recording(folder / "call.mp4", 1.0)
    (folder / "folder").mkdir()
    (folder / "rubbish.bin").write_bytes(bytes(range(256)) * 8)
    os.mkfifo(folder / "fifo")
    return folder


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The complaint, free of what no operator should see."""
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    assert "[Errno" not in errors
    return errors


ANALYZE = ("analyze", "call.mp4", "--consent", "voice")
REFUSED = [
    # What an operator types, and a part of the answer.
    ((), "arguments are required"),
    (("dance",), "invalid choice"),
    (("analyze",), "arguments are required"),
    (("analyze", "call.mp4"), "--consent"),
    (("analyze", "call.mp4", "--consent", "smile"), "give some of face,voice,text"),
    (("analyze", "call.mp4", "--consent", ""), "give some of face,voice,text"),
    (("analyze", "call.mp4", "--consent", "face,,"), "give some of face,voice,text"),
    (("analyze", "none.mp4", "--consent", "face"), "none.mp4: No such file"),
    (("analyze", "folder", "--consent", "face"), "folder: this is a folder"),
    (("analyze", "call.mp4/x", "--consent", "face"), "Not a directory"),
    (("analyze", "fifo", "--consent", "face"), "save the recording to a file"),
    (("analyze", "/dev/stdin", "--consent", "face"), "save it to a file"),
    (("analyze", "/dev/fd/0", "--consent", "face"), "save it to a file"),
    (("analyze", "/dev/zero", "--consent", "face"), "not a regular file"),
    (("analyze", "-", "--consent", "face"), "save it to a file"),
    (("analyze", "x" * 300, "--consent", "face"), "File name too long"),
    (("analyze", "rubbish.bin", "--consent", "face"), "rubbish.bin"),
    (("analyze", "http://127.0.0.1:1/x.mp4", "--consent", "face"), "No such file"),
    (("analyze", "", "--consent", "face"), "folder"),
    ((*ANALYZE, "--out", "call.mp4"), "this is the recording itself"),
    ((*ANALYZE, "--out", "./call.mp4"), "this is the recording itself"),
    ((*ANALYZE, "--out", "folder/../call.mp4"), "this is the recording itself"),
    ((*ANALYZE, "--out", "folder"), "this is a folder"),
    ((*ANALYZE, "--out", "none/out.jsonl"), "create it first"),
    ((*ANALYZE, "--out", "call.mp4/out.jsonl"), "Not a directory"),
    ((*ANALYZE, "--out", "x" * 300), "File name too long"),
    ((*ANALYZE, "--out", "/dev/full"), "No space left on device"),
    ((*ANALYZE, "--plot", "picture"), "must end in one of"),
    ((*ANALYZE, "--plot", "picture.xyz"), "must end in one of"),
    ((*ANALYZE, "--plot", "none/picture.png"), "create it first"),
    ((*ANALYZE, "--plot", "call.mp4"), "must end in one of"),
    ((*ANALYZE, "--out", "a.png", "--plot", "a.png"), "--out names the same file"),
    ((*ANALYZE, "--pack", "none"), "none/manifest.toml: cannot be read"),
    ((*ANALYZE, "--pack", "rubbish.bin"), "manifest.toml: cannot be read"),
    ((*ANALYZE, "--pack", "fifo"), "manifest.toml: cannot be read"),
    (("tail",), "arguments are required"),
    (("tail", ""), "name a room"),
    (("tail", "\udcff"), "UTF-8"),
    (("tail", "demo", "--count", "0"), "whole number from 1 on"),
    (("tail", "demo", "--count", "-1"), "whole number from 1 on"),
    (("tail", "demo", "--count=-1"), "whole number from 1 on"),
    (("tail", "demo", "--count", "many"), "whole number from 1 on"),
    (("tail", "demo", "--from", "middle"), "invalid choice"),
    (("models",), "arguments are required"),
    (("models", "burn"), "invalid choice"),
    (("audit", "verify"), "arguments are required"),
    (("audit", "verify", "none.jsonl"), "No such file"),
    (("audit", "verify", "folder"), "Is a directory"),
    (("audit", "verify", "x" * 300), "File name too long"),
    (("audit", "verify", "fifo"), "not a regular file"),
    (("audit", "verify", "/dev/zero"), "not a regular file"),
    (("demo", "--seconds", "nan"), "number of seconds above 0"),
    (("demo", "--seconds=-1"), "number of seconds above 0"),
    (("demo", "--seconds", "inf"), "number of seconds above 0"),
    (("demo", "--media", "none.mp4"), "none.mp4: No such file"),
    (("demo", "--media", "folder"), "this is a folder"),
    (("worker",), "set LIVEKIT_URL"),
    (("watch",), "set LIVEKIT_URL"),
]


@pytest.mark.parametrize(("arguments", "answer"), REFUSED, ids=lambda value: ascii(value)[:60])
def test_what_cannot_be_done_is_refused_with_a_reason(place, capsys, arguments, answer):
    assert main(arguments) == 2
    assert answer in said(capsys)
    assert not list(place.glob(".sidecar-*")), "nothing is left behind"


@pytest.mark.parametrize(
    ("variable", "value", "answer"),
    [
        ("SIDECAR_CONFIG", "folder", "Is a directory"),
        ("SIDECAR_CONFIG", "rubbish.bin", "SIDECAR_CONFIG"),
        ("SIDECAR_CONFIG", "none.toml", "No such file"),
        ("SIDECAR_CONFIG", "/dev/zero", "more than a megabyte"),
        ("SIDECAR_CONFIG", "x" * 300, "File name too long"),
        ("SIDECAR_STATE", "call.mp4", "SIDECAR_STATE: cannot write"),
        ("SIDECAR_STATE", "call.mp4/state", "SIDECAR_STATE: cannot write"),
        ("SIDECAR_STATE", "/proc/none", "SIDECAR_STATE: cannot write"),
        ("SIDECAR_STATE", "x" * 300, "SIDECAR_STATE: cannot write"),
        ("SIDECAR_MODELS", "folder", "manifest.toml: cannot be read"),
        ("SIDECAR_MODELS", "rubbish.bin", "manifest.toml: cannot be read"),
        ("SIDECAR_HTTP", "nowhere", "SIDECAR_HTTP"),
    ],
)
def test_settings_that_cannot_be_used_are_named(place, capsys, variable, value, answer):
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(variable, value)
        assert main(ANALYZE) == 2
    assert answer in said(capsys)


def test_a_damaged_state_folder_is_named(place, capsys, monkeypatch):
    (place / "state").mkdir()
    (place / "state" / "drift.json").mkdir()
    assert main(["models", "drift"]) == 2
    (place / "state" / "drift.json").rmdir()
    (place / "state" / "drift.json").write_bytes((place / "rubbish.bin").read_bytes())
    assert main(["models", "drift", "--accept"]) == 2
    monkeypatch.setenv("SIDECAR_STATE", "call.mp4")
    assert main(["models", "drift"]) == 2
    assert said(capsys).count("drift.json") == 3


def test_an_audit_that_is_no_audit_is_a_finding(place, capsys):
    for content in (b"\xff\xfe\n", b"[]\n", b'{"hash": 1}\n', b'{"hash": "x", "n": 0, "prev": "%s"}\n' % (b"0" * 64)):
        (place / "audit.jsonl").write_bytes(content)
        assert main(["audit", "verify", "audit.jsonl"]) == 1
    (place / "audit.jsonl").write_bytes((place / "rubbish.bin").read_bytes())
    assert main(["audit", "verify", "audit.jsonl"]) == 1
    entry = {"hash": "x", "n": 0, "prev": "0" * 64, "count": 2**70, "big": 1e308}
    (place / "audit.jsonl").write_text(json.dumps(entry) + "\n")
    assert main(["audit", "verify", "audit.jsonl"]) == 1
    assert "line 1" in said(capsys)


def test_a_name_that_is_not_utf_8_is_printed_all_the_same(place, capsys):
    path = Path(os.fsdecode(b"audit\xff.jsonl"))
    path.touch()
    assert main(["audit", "verify", str(path)]) == 0
    assert "audit\N{REPLACEMENT CHARACTER}.jsonl: 0 lines" in capsys.readouterr().out


def test_help_and_version_are_no_errors(place, capsys):
    assert main(["--version"]) == 0
    assert main(["analyze", "--help"]) == 0


def events(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_out_appears_whole_with_the_mode_of_the_umask(place):
    before = os.umask(0o027)
    try:
        assert main([*ANALYZE, "--out", "out.jsonl"]) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("out.jsonl").stat().st_mode) == 0o640
    assert [event["data"].get("reason") for event in events(place / "out.jsonl")][-1] == "end_of_recording"
    assert not list(place.glob(".sidecar-*"))
    (audit,) = (place / "state" / "audit").glob("*/*.jsonl")
    assert verify(audit)[0] > 0


def test_a_refusal_leaves_an_existing_out_as_it_is(place):
    Path("out.jsonl").write_text("before")
    assert main(["analyze", "call.mp4", "--consent", "smile", "--out", "out.jsonl"]) == 2
    assert main(["analyze", "rubbish.bin", "--consent", "face", "--out", "out.jsonl"]) == 2
    assert main([*ANALYZE, "--out", "out.jsonl", "--pack", "none"]) == 2
    assert main([*ANALYZE, "--out", "out.jsonl", "--plot", "none/p.png"]) == 2
    assert Path("out.jsonl").read_text() == "before"


def test_links_to_the_recording_are_the_recording(place, capsys):
    content = Path("call.mp4").read_bytes()
    Path("soft.jsonl").symlink_to("call.mp4")
    Path("hard.png").hardlink_to("call.mp4")
    assert main([*ANALYZE, "--out", "soft.jsonl"]) == 2
    assert main([*ANALYZE, "--plot", "hard.png"]) == 2
    assert main(["analyze", "soft.jsonl", "--consent", "voice", "--out", "call.mp4"]) == 2
    assert said(capsys).count("this is the recording itself") == 3
    assert Path("call.mp4").read_bytes() == content


def test_a_link_is_followed_and_stays(place):
    Path("link.jsonl").symlink_to("folder/real.jsonl")
    assert main([*ANALYZE, "--out", "link.jsonl"]) == 0
    assert Path("link.jsonl").is_symlink()
    assert events(place / "folder" / "real.jsonl")


def test_an_existing_file_keeps_its_mode(place):
    Path("out.jsonl").touch(mode=0o600)
    assert main([*ANALYZE, "--out", "out.jsonl"]) == 0
    assert stat.S_IMODE(Path("out.jsonl").stat().st_mode) == 0o600


def test_a_place_without_permission(place, capsys):
    """In `/sys` not even root may make a file."""
    assert main([*ANALYZE, "--out", "/sys/out.jsonl"]) == 2
    assert "Permission denied" in said(capsys)


def test_devices_are_written_as_they_are(place, capfd):
    assert main([*ANALYZE, "--out", "/dev/null"]) == 0
    assert main([*ANALYZE, "--out", "/dev/stdout"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert json.loads(lines[0])["data"]["change"] == "attached"


NAMES = (
    *("a$b_{c$.mp4", "[bold]x[.mp4", "мама 母 👪.mp4", ".mp4", "a\nb\x1b[31m.mp4"),
    *("file:x.mp4", "call:anna.mp4", "%d.mp4", "take%02d.mp4", "-call.mp4", "x" * 250 + ".mp4"),
)


@pytest.mark.parametrize("name", [*NAMES, os.fsdecode(b"\xff\xfe.mp4")], ids=ascii)
def test_odd_names_are_names(place, capsys, name):
    Path("call.mp4").rename(name)
    assert main(["analyze", f"./{name}", "--consent", "voice", "--out", "out.jsonl", "--plot", "out.png"]) == 0
    rooms = {event["data"]["room"] for event in events(place / "out.jsonl")}
    assert rooms == {os.fsencode(Path(name).stem).decode("utf-8", "replace")}
    assert Path("out.png").stat().st_size > 1000
    said(capsys)


def test_a_progress_bar_shows_odd_names(place, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes standard error for a terminal
    name = "[bold]$x[/] [/italic].mp4"
    Path("call.mp4").rename(name.replace("/", "_"))
    assert main(["analyze", name.replace("/", "_"), "--consent", "voice", "--out", "out.jsonl"]) == 0
    assert "[bold]$x[_]" in said(capsys)


def test_formats_that_need_other_programs_are_not_offered(place, capsys):
    assert main([*ANALYZE, "--plot", "call.pgf"]) == 2
    assert ".pgf" not in said(capsys).partition("must end in")[2]


def test_shared_memory_is_a_folder_like_others(tmp_path):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        check_recording(write_recording(Path(folder) / "call.mp4", 0.5))


def test_without_matplotlib_a_plot_is_refused_before_the_work(place, capsys, monkeypatch):
    for module in [each for each in sys.modules if each.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main([*ANALYZE, "--plot", "out.png", "--out", "out.jsonl"]) == 2
    assert "pip install" in said(capsys)
    assert not Path("out.jsonl").exists()
