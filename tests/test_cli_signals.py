"""`sidecar analyze` and `worker` as processes: what signals and readers that go away leave behind."""

import array
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.consent.audit import verify
from sidecar.demo.speaker import speak
from tests.media_files import write_recording
from tests.test_analyze_pack import voice_pack

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LONG_S = 1800
WITHIN_S = 60.0
PIPE_BYTES = 4096


@pytest.fixture(scope="module")
def lecture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half an hour of synthesised speech, which takes longer to read than the tests wait."""
    folder = tmp_path_factory.mktemp("lecture")
    speak(["The quick brown fox jumps over the lazy dog.", "Pack my box with liquor jugs."], "en", folder / "once.wav")
    with wave.open(str(folder / "once.wav")) as once:
        parameters, frames = once.getparams(), once.readframes(once.getnframes())
    with wave.open(str(folder / "call.wav"), "wb") as file:
        file.setparams(parameters)
        for _ in range(round(LONG_S * parameters.framerate * 2 / len(frames))):
            file.writeframesraw(frames)
    return folder / "call.wav"


@pytest.fixture
def place(lecture: Path, tmp_path: Path) -> Path:
    """A pack that loads at once, and the recording."""
    voice_pack(tmp_path / "pack")
    (tmp_path / "call.wav").symlink_to(lecture)
    return tmp_path


STARTED: list["subprocess.Popen[bytes]"] = []


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    yield
    while STARTED:
        process = STARTED.pop()
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def start(place: Path, *arguments: str, **how: object) -> "subprocess.Popen[bytes]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIDECAR_")}
    environment |= {"SIDECAR_STATE": "state", "SIDECAR_MODELS": "pack", **how.pop("environment", {})}  # type: ignore[dict-item]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
    command = [sys.executable, "-m", "sidecar.cli", *arguments]
    process: subprocess.Popen[bytes] = subprocess.Popen(command, cwd=place, env=environment, **options)  # type: ignore[call-overload]
    STARTED.append(process)
    return process


def ended(process: "subprocess.Popen[bytes]") -> tuple[int, str]:
    """Exit code and standard error; standard output is read to its end."""
    _, errors = process.communicate(timeout=WITHIN_S)
    said = errors.decode()
    assert "Traceback" not in said, said
    assert "Exception ignored" not in said, said
    return process.returncode, said


def until(found: object, what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not found():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def waiting_bytes(descriptor: int) -> int:
    """What a pipe holds."""
    count = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, count)
    return count[0]


def audit_kinds(place: Path) -> list[str]:
    (audit,) = (place / "state" / "audit").glob("*/*.jsonl")
    verify(audit)
    return [json.loads(line)["kind"] for line in audit.read_text().splitlines()]


def partial(place: Path) -> Iterator[Path]:
    return place.glob(".sidecar-*.partial")


@pytest.mark.parametrize("number", SIGNALS)
def test_an_interrupted_analysis_keeps_what_it_has_written(place: Path, number: signal.Signals) -> None:
    process = start(place, "analyze", "call.wav", "--consent", "voice", "--out", "out.jsonl")
    until(lambda: any(path.stat().st_size > 3000 for path in partial(place)), "nothing was written")
    assert not (place / "out.jsonl").exists()
    process.send_signal(number)
    assert ended(process)[0] == 128 + number
    lines = [json.loads(line) for line in (place / "out.jsonl").read_text().splitlines()]
    assert (lines[-1]["data"]["change"], lines[-1]["data"]["reason"]) == ("detached", "interrupted")
    assert audit_kinds(place)[-1] == "detached"
    assert not list(partial(place))


@pytest.mark.parametrize("number", SIGNALS)
def test_an_interruption_while_models_load_leaves_no_files(place: Path, number: signal.Signals) -> None:
    (place / "out.jsonl").write_text("before")
    models = str(Path(__file__).parents[1] / "models")
    process = start(
        place, "analyze", "call.wav", "--consent", "voice", "--out", "out.jsonl", environment={"SIDECAR_MODELS": models}
    )
    assert process.stderr is not None
    while b"sidecar.inference.local" not in process.stderr.readline():
        pass
    process.send_signal(number)
    assert ended(process)[0] == 128 + number
    assert (place / "out.jsonl").read_text() == "before"
    assert not list(partial(place))
    assert not [path for path in (place / "state").rglob("*") if path.is_file()]


def test_a_second_interrupt_ends_at_once_although_the_output_is_stuck(place: Path) -> None:
    process = start(place, "analyze", "call.wav", "--consent", "voice")
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    held = [0]

    def stuck() -> bool:
        held.append(waiting_bytes(descriptor))
        return held[-1] > 0 and len(held) > 50 and len(set(held[-50:])) == 1

    until(stuck, "the pipe, which nothing reads, does not fill")
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):  # the analysis waits for its reader
        process.wait(1)
    process.send_signal(signal.SIGINT)
    assert process.wait(WITHIN_S) == 128 + signal.SIGINT


def test_nohup_goes_on_after_the_terminal_is_gone(place: Path) -> None:
    write_recording(place / "short.mp4", 2.0)
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # inherited, as from nohup
    try:
        process = start(place, "analyze", "short.mp4", "--consent", "voice")
    finally:
        signal.signal(signal.SIGHUP, ignored)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    assert ended(process)[0] == 0


def test_a_reader_that_goes_away_is_a_quiet_end(place: Path) -> None:
    process = start(place, "analyze", "call.wav", "--consent", "voice")
    assert process.stdout is not None
    assert b"attached" in process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    code, said = ended(process)
    assert code == 0
    assert "cannot" not in said
    assert audit_kinds(place)[-1] == "detached"


def test_a_full_output_is_reported_and_the_audit_is_closed(place: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        process = start(place, "analyze", "call.wav", "--consent", "voice", stdout=full)
        code, said = ended(process)
    assert code == 2
    assert "standard output: cannot be written: No space left on device" in said
    assert audit_kinds(place)[-1] == "detached"


@pytest.mark.parametrize("limit", [2000, 20_000])
def test_a_file_that_grows_too_large_keeps_whole_lines(place: Path, limit: int) -> None:
    limited = f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
    limited += "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from sidecar.cli import main; "
    limited += "sys.exit(main(['analyze', 'call.wav', '--consent', 'voice', '--out', 'out.jsonl']))"
    environment = {**os.environ, "SIDECAR_STATE": "state", "SIDECAR_MODELS": "pack"}
    done = subprocess.run(
        [sys.executable, "-c", limited], cwd=place, env=environment, capture_output=True, timeout=WITHIN_S, check=False
    )
    said = done.stderr.decode()
    assert (done.returncode, "Traceback" in said) == (2, False), said
    if limit > 2000 + 4096:  # below, the state folder already refuses
        assert "--out out.jsonl: cannot be written: File too large" in said
        lines = (place / "out.jsonl").read_bytes()
        assert lines.endswith(b"\n")
        assert len([json.loads(line) for line in lines.splitlines()]) > 1
    assert not list(partial(place))


def test_a_named_pipe_is_written_once_it_has_a_reader(place: Path) -> None:
    write_recording(place / "short.mp4", 1.0)
    os.mkfifo(place / "pipe")
    process = start(place, "analyze", "short.mp4", "--consent", "voice", "--out", "pipe")
    lines = (place / "pipe").read_bytes().splitlines()
    assert ended(process)[0] == 0
    assert json.loads(lines[-1])["data"]["reason"] == "end_of_recording"


@pytest.mark.parametrize("number", SIGNALS)
def test_a_named_pipe_without_a_reader_can_be_given_up(place: Path, number: signal.Signals) -> None:
    os.mkfifo(place / "pipe")
    process = start(place, "analyze", "call.wav", "--consent", "voice", "--out", "pipe")
    time.sleep(3)  # it waits for a reader; were it still loading, the outcome would be the same
    process.send_signal(number)
    assert ended(process)[0] == 128 + number


def test_closed_standard_streams_are_not_taken_for_files(place: Path) -> None:
    write_recording(place / "short.mp4", 1.0)
    shell = f"exec {sys.executable} -m sidecar.cli analyze short.mp4 --consent voice --out out.jsonl <&- >&- 2>&-"
    environment = {**os.environ, "SIDECAR_STATE": "state", "SIDECAR_MODELS": "pack"}
    assert subprocess.run(["sh", "-c", shell], cwd=place, env=environment, check=False).returncode == 0
    assert all(line.startswith(b"{") for line in (place / "out.jsonl").read_bytes().splitlines())
    closed = shell.replace("--out out.jsonl <&- >&- 2>&-", ">&-")
    done = subprocess.run(["sh", "-c", closed], cwd=place, env=environment, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"not open for writing" in done.stderr
