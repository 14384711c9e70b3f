"""A recording is one file: nothing that it names, and no address, is opened."""

import ctypes
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

from sidecar.cli import main
from tests.media_files import write_recording
from tests.test_analyze_pack import voice_pack

IN_OPEN = 0x20


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voice_pack(tmp_path / "pack")
    monkeypatch.setenv("SIDECAR_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SIDECAR_MODELS", str(tmp_path / "pack"))


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Another media file, as a transport stream, which play lists take."""
    write_recording(tmp_path / "secret.mp4", 1.0)
    with av.open(str(tmp_path / "secret.mp4")) as source, av.open(str(tmp_path / "secret.ts"), "w") as target:
        copied = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copied
                target.mux(packet)
    return tmp_path / "secret.ts"


@pytest.fixture
def opened(secret: Path) -> Iterator[Callable[[], bool]]:
    """Whether somebody opened the secret, as the kernel tells."""
    library = ctypes.CDLL(None, use_errno=True)
    watch = library.inotify_init1(os.O_NONBLOCK)
    assert watch >= 0
    assert library.inotify_add_watch(watch, os.fsencode(secret), IN_OPEN) >= 0

    def was_opened() -> bool:
        try:
            return len(os.read(watch, 4096)) > 0
        except BlockingIOError:
            return False

    yield was_opened
    os.close(watch)


HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{}\n#EXT-X-ENDLIST\n"
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT3S">'
    '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{}</BaseURL>'
    "<SegmentBase/></Representation></AdaptationSet></Period></MPD>"
)
LISTS = {
    "list.m3u8": HLS,
    "list.mp4": HLS,
    "list.ffconcat": "ffconcat version 1.0\nfile {}\n",
    "concat.mp4": "ffconcat version 1.0\nfile {}\n",
    "session.sdp": SDP,
    "manifest.mpd": DASH,
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("target", ["secret.ts", "{folder}/secret.ts", "http://127.0.0.1:{port}/secret.ts"])
def test_a_play_list_is_refused_unopened(
    tmp_path: Path, listener: socket.socket, opened: Callable[[], bool], name: str, target: str
) -> None:
    place = target.format(folder=tmp_path, port=listener.getsockname()[1])
    (tmp_path / name).write_text(LISTS[name].replace("{}", place))
    assert main(["analyze", str(tmp_path / name), "--consent", "face,voice", "--out", str(tmp_path / "out")]) == 2
    assert not opened()
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.mark.parametrize("address", ["http://127.0.0.1:{}/a.mp4", "tcp://127.0.0.1:{}", "rtmp://127.0.0.1:{}/a"])
def test_an_address_is_a_file_that_is_not_there(
    tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.chdir(tmp_path)
    port = listener.getsockname()[1]
    assert main(["analyze", address.format(port), "--consent", "face"]) == 2
    with pytest.raises(BlockingIOError):
        listener.accept()
