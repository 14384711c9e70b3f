"""The pack refuses what is not as its manifest says, and names the file, the key and the remedy."""

import hashlib
import logging
import re
import socket
import threading
from pathlib import Path

import pytest

from sidecar.errors import PackError, Unavailable
from sidecar.inference.fetch import FetchOptions, fetch
from sidecar.inference.manifest import read_manifest
from sidecar.inference.pack import FileState, load_pack, verify
from sidecar.types import Modality
from tests.inference.graphs import FACE, VOICE, random_model, write_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


def test_a_sound_pack_loads(folder: Path) -> None:
    write_manifest(folder, random_model(folder, "face", FACE), random_model(folder, "voice", VOICE))
    pack = load_pack(folder, "commercial")
    spec = pack.choose(Modality.VOICE, "encoder")
    assert spec is not None
    assert spec.title == "voice 0"
    assert pack.path(spec).is_file()
    assert pack.choose(Modality.TEXT, "encoder") is None


def test_a_model_can_be_chosen_by_name(folder: Path) -> None:
    write_manifest(folder, random_model(folder, "a", FACE), random_model(folder, "b", FACE))
    pack = load_pack(folder, "research")
    chosen = pack.choose(Modality.FACE, "encoder", "b")
    assert chosen is not None
    assert chosen.name == "b"
    with pytest.raises(PackError, match="'c'; there are: a, b"):
        pack.choose(Modality.FACE, "encoder", "c")


def test_no_manifest(folder: Path) -> None:
    with pytest.raises(PackError, match="SIDECAR_MODELS"):
        read_manifest(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "red"}, "colour"),
        ({"licence": None}, "licence"),
        ({"commercial": "yes"}, r"model\[0\].commercial|commercial"),
        ({"modality": "smell"}, "modality"),
        ({"role": "oracle"}, "role"),
        ({"sha256": "abc"}, "sha256"),
        ({"file": "../face.onnx"}, "'file'.*inside"),
        ({"file": "/etc/passwd"}, "'file'.*inside"),
        ({"source": "ftp://example.org/x"}, "'source'"),
        ({"labels": ["happy", "sad"]}, "'map'.*calm"),
        ({"map": {"happy": "joy", "sad": "sadness", "calm": "neutral"}}, "'map'.*'joy'"),
        ({"labels": ["happy"], "map": {"happy": "happiness"}}, "'labels'.*1 labels for 3"),
        ({"calibration": {"temperature": 0.0}}, "temperature"),
    ],
)
def test_a_fault_in_the_manifest_names_file_and_key(folder: Path, changes: dict[str, object], words: str) -> None:
    write_manifest(folder, random_model(folder, "face", FACE, **changes))
    with pytest.raises(PackError, match=words) as caught:
        load_pack(folder, "research")
    assert "manifest.toml" in str(caught.value)


def test_a_manifest_that_is_no_toml(folder: Path) -> None:
    folder.mkdir()
    (folder / "manifest.toml").write_text("[[model", "utf-8")
    with pytest.raises(PackError, match=r"manifest\.toml"):
        read_manifest(folder)


def test_two_models_of_one_name(folder: Path) -> None:
    write_manifest(folder, random_model(folder, "face", FACE), random_model(folder, "face", FACE))
    with pytest.raises(PackError, match="two models are called 'face'"):
        read_manifest(folder)


def test_an_altered_and_a_missing_file(folder: Path) -> None:
    write_manifest(folder, random_model(folder, "face", FACE), random_model(folder, "voice", VOICE))
    graph = folder / "weights/face.onnx"
    graph.write_bytes(graph.read_bytes() + b"x")
    (folder / "weights/voice.onnx").unlink()
    assert [finding.state for finding in verify(folder)] == [FileState.ALTERED, FileState.MISSING]
    with pytest.raises(PackError, match=r"face\.onnx: does not have the SHA-256.*restore it from the repository"):
        load_pack(folder, "research")


def test_extra_files_are_verified_too(folder: Path) -> None:
    (folder / "weights").mkdir(parents=True)
    (folder / "weights/words.json").write_text("{}", "utf-8")
    extra = {"name": "tokenizer", "file": "weights/words.json", "sha256": hashlib.sha256(b"{}").hexdigest()}
    write_manifest(folder, random_model(folder, "face", FACE, files=[extra]))
    pack = load_pack(folder, "research")
    assert pack.extra(pack.models["face"], "tokenizer") == folder / "weights/words.json"
    with pytest.raises(PackError, match="needs one called 'vocabulary'"):
        pack.extra(pack.models["face"], "vocabulary")
    (folder / "weights/words.json").write_text("[]", "utf-8")
    with pytest.raises(PackError, match=r"words\.json"):
        load_pack(folder, "research")


def test_licence_profiles(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    acted = random_model(folder, "voice", VOICE, licence="CC-BY-NC-SA-4.0", commercial=False)
    write_manifest(folder, random_model(folder, "face", FACE), acted)
    with caplog.at_level(logging.WARNING):
        load_pack(folder, "research")
    assert [record.getMessage() for record in caplog.records] == [
        "model voice 0 is for non-commercial use only (CC-BY-NC-SA-4.0)"
    ]
    with pytest.raises(PackError, match=r"'voice' is under CC-BY-NC-SA-4\.0.*section 2\(a\)\(1\).*NonCommercial"):
        load_pack(folder, "commercial")


def test_the_default_pack_is_refused_for_commerce_by_model_and_clause() -> None:
    with pytest.raises(PackError) as caught:
        load_pack(Path(__file__).parents[2] / "models", "commercial")
    assert re.search(r"model 'face-vit' is under .*without a clear grant.*keep all rights", str(caught.value))
    assert re.search(r"model 'voice-\w+' is under CC BY-NC-SA 4\.0.*section 2\(a\)\(1\)", str(caught.value))
    assert re.search(r"model 'text-\w+' is under Apache-2\.0; sst2: none stated", str(caught.value))


def test_fetch_brings_what_is_missing_and_only_that(folder: Path, tmp_path: Path) -> None:
    """Through a `file:` source and through a mirror of Hugging Face's layout."""
    near = random_model(folder, "face", FACE, source="file:../elsewhere/face.onnx")
    hub = random_model(folder, "voice", VOICE, source="hf:someone/voices@0123abc/onnx/my voice.onnx")
    here = random_model(folder, "here", FACE)
    write_manifest(folder, near, hub, here)
    (tmp_path / "elsewhere").mkdir()
    (folder / "weights/face.onnx").rename(tmp_path / "elsewhere/face.onnx")
    mirrored = tmp_path / "someone/voices/resolve/0123abc/onnx"
    mirrored.mkdir(parents=True)
    (folder / "weights/voice.onnx").rename(mirrored / "my voice.onnx")
    mirror = FetchOptions(huggingface_url=tmp_path.as_uri())
    assert [finding.state for finding in fetch(folder, mirror)] == [FileState.OK] * 3
    load_pack(folder, "research")
    assert not list(folder.rglob("*.partial"))


def test_fetch_keeps_nothing_that_is_altered(folder: Path, tmp_path: Path) -> None:
    write_manifest(folder, random_model(folder, "face", FACE, source="file:../face.onnx"))
    (folder / "weights/face.onnx").unlink()
    with pytest.raises(Unavailable, match="cannot be fetched"):
        list(fetch(folder, FetchOptions()))
    (tmp_path / "face.onnx").write_bytes(b"something else")
    with pytest.raises(PackError, match="SHA-256"):
        list(fetch(folder, FetchOptions()))
    assert not list((folder / "weights").iterdir())


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"rubbish\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: gopher://x\r\n\r\n",
    ],
)
def test_a_mirror_that_answers_rubbish_leaves_nothing_behind(folder: Path, answer: bytes) -> None:
    write_manifest(folder, random_model(folder, "voice", VOICE, source="hf:someone/voices@0123abc/voice.onnx"))
    (folder / "weights/voice.onnx").unlink()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        mirror = FetchOptions(huggingface_url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises((PackError, Unavailable), match=r"voice\.onnx: "):
            list(fetch(folder, mirror))
        server.join()
    assert not list((folder / "weights").iterdir())


def test_a_pack_that_cannot_be_written_says_so(folder: Path, tmp_path: Path) -> None:
    write_manifest(folder, random_model(folder, "face", FACE, source="file:../face.onnx"))
    (folder / "weights/face.onnx").rename(tmp_path / "face.onnx")
    (folder / "weights").rmdir()
    (folder / "weights").touch()
    with pytest.raises(PackError, match=r"face\.onnx: cannot be written: (Not a directory|File exists)"):
        list(fetch(folder, FetchOptions()))


def test_fetch_cannot_bring_a_file_of_the_repository(folder: Path) -> None:
    write_manifest(folder, random_model(folder, "face", FACE))
    (folder / "weights/face.onnx").unlink()
    with pytest.raises(PackError, match="part of the repository"):
        list(fetch(folder, FetchOptions()))
