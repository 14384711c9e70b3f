"""Pictures of a recording are upright, not mirrored, of their true shape and of a bounded size."""

import struct
import subprocess
import sys
import zlib
from fractions import Fraction

import av
import numpy as np
import pytest

from sidecar.sources.recording.geometry import Orientation, orientation, shown_size
from tests.sources.reading import read

CORNERS = {"red": (230, 20, 20), "green": (20, 230, 20), "blue": (20, 20, 230), "white": (235, 235, 235)}


def quartered(width, height):
    """Red top left, green top right, blue bottom left, white bottom right."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = CORNERS["red"]
    picture[: height // 2, width // 2 :] = CORNERS["green"]
    picture[height // 2 :, : width // 2] = CORNERS["blue"]
    picture[height // 2 :, width // 2 :] = CORNERS["white"]
    return picture


def corners(rgb):
    """Names of the colours, by rows."""
    height, width = rgb.shape[:2]
    places = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return [min(CORNERS, key=lambda name: np.abs(rgb[place].astype(int) - CORNERS[name]).sum()) for place in places]


def write(path, size=(64, 48), *, codec="libx264", pixels="yuv420p", change=lambda stream: None, count=5):
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        change(stream)
        for _ in range(count):
            frame = av.VideoFrame.from_ndarray(quartered(*size), format="rgb24").reformat(format=pixels)
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return path


UPRIGHT = ["red", "green", "blue", "white"]


def matrix(a, b, c, d):
    one = 1 << 16
    return [a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1, 0, 0, 1), ["red", "green", "blue", "white"]),
        ((-1, 0, 0, 1), ["green", "red", "white", "blue"]),  # mirrored
        ((1, 0, 0, -1), ["blue", "white", "red", "green"]),  # upside down, mirrored
        ((-1, 0, 0, -1), ["white", "blue", "green", "red"]),  # half a turn
        ((0, 1, -1, 0), ["blue", "red", "white", "green"]),  # a quarter turn clockwise
        ((0, -1, 1, 0), ["green", "white", "red", "blue"]),  # a quarter turn counterclockwise
        ((0, 1, 1, 0), ["red", "blue", "green", "white"]),  # transposed: portrait of a front camera
        ((0, -1, -1, 0), ["white", "green", "blue", "red"]),
    ],
)
def test_display_matrices_turn_and_mirror(tmp_path, values, expected):
    path = write(tmp_path / "a.mp4", change=lambda stream: stream.set_display_matrix(matrix(*values)))
    frames = read(path).frames
    assert corners(frames[0].rgb) == expected
    assert frames[0].rgb.shape == ((64, 48, 3) if values[0] == 0 else (48, 64, 3))
    assert frames[0].rgb.flags["C_CONTIGUOUS"]


def test_rotations_agree_with_the_container_s(tmp_path):
    for degrees in (0, 90, 180, 270):
        path = write(tmp_path / f"{degrees}.mp4", change=lambda stream: stream.set_display_rotation(degrees))  # noqa: B023
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            stored = frame.to_ndarray(format="rgb24")
            turned = np.rot90(stored, k=round(frame.rotation / 90) % 4)
        assert corners(read(path).frames[0].rgb) == corners(turned)


def tags(value: int, order: str) -> bytes:
    """EXIF data with an orientation."""
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    return mark + struct.pack(f"{order}I", 8) + struct.pack(f"{order}HHHIHH", 1, 0x0112, 3, 1, value, 0) + bytes(4)


def in_jpeg(picture: bytes, exif: bytes) -> bytes:
    body = b"Exif\0\0" + exif
    return picture[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + picture[2:]


def in_png(picture: bytes, kind: bytes, body: bytes) -> bytes:
    """A PNG with another chunk behind its header."""
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return picture[:33] + chunk + picture[33:]


def in_webp(picture: bytes, exif: bytes) -> bytes:
    """An extended WebP with EXIF of a simple one of 64 x 48."""
    size = (63).to_bytes(3, "little") + (47).to_bytes(3, "little")
    parts = b"VP8X" + struct.pack("<II", 10, 8) + size + picture[12:]
    parts += b"EXIF" + struct.pack("<I", len(exif)) + exif
    return b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WEBP" + parts


PHOTOS = {
    "jpg": ("mjpeg", "yuvj420p", in_jpeg),
    "png": ("png", "rgb24", lambda picture, exif: in_png(picture, b"eXIf", exif)),
    "webp": ("libwebp", "yuv420p", in_webp),
}


def photo(path):
    """A photograph, by its ending."""
    codec, pixels, _ = PHOTOS[path.suffix[1:]]
    plain = path.with_name("plain")
    with av.open(str(plain), "w", format="image2", options={"update": "1"}) as out:
        stream = out.add_stream(codec, rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        frame = av.VideoFrame.from_ndarray(quartered(64, 48), format="rgb24").reformat(format=pixels)
        for packet in (*stream.encode(frame), *stream.encode()):
            out.mux(packet)
    plain.rename(path)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, ["red", "green", "blue", "white"]),
        (2, ["green", "red", "white", "blue"]),
        (3, ["white", "blue", "green", "red"]),
        (4, ["blue", "white", "red", "green"]),
        (5, ["red", "blue", "green", "white"]),
        (6, ["blue", "red", "white", "green"]),
        (7, ["white", "green", "blue", "red"]),
        (8, ["green", "white", "red", "blue"]),
        (9, ["red", "green", "blue", "white"]),
    ],
)
def test_photographs_are_turned_as_their_camera_says(tmp_path, value, expected, order, ending):
    path = photo(tmp_path / f"a.{ending}")
    path.write_bytes(PHOTOS[ending][2](path.read_bytes(), tags(value, order)))
    assert corners(read(path).frames[0].rgb) == expected


@pytest.mark.parametrize("exif", [b"", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\x05\0"])
@pytest.mark.parametrize("ending", ["jpg", "webp"])  # FFmpeg refuses the PNG
def test_broken_tags_of_photographs_are_ignored(tmp_path, exif, ending):
    path = photo(tmp_path / f"a.{ending}")
    path.write_bytes(PHOTOS[ending][2](path.read_bytes(), exif))
    assert corners(read(path).frames[0].rgb) == UPRIGHT


READ_AND_COLLECT = """
import gc, sys
from pathlib import Path
from tests.sources.reading import read
found = read(Path(sys.argv[1]))
count = len(found.frames)
del found
gc.collect()
print(count)
"""


@pytest.mark.parametrize("ending", ["png", "mov"])
def test_a_colour_profile_with_a_name_does_not_end_the_process(tmp_path, ending):
    """The side data of its frames must not be touched: PyAV 18.1 frees their metadata, and FFmpeg again."""
    profile = bytes(36) + b"acsp" + bytes(92)
    iccp = b"a name\0\0" + zlib.compress(struct.pack(">I", len(profile)) + profile[4:])
    picture = in_png(photo(tmp_path / "a.png").read_bytes(), b"iCCP", iccp)
    path = tmp_path / f"b.{ending}"
    if ending == "png":
        path.write_bytes(picture)
    else:
        with av.open(str(path), "w") as out:
            stream = out.add_stream("png", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
            stream.set_display_matrix(matrix(-1, 0, 0, 1))
            for index in range(3):
                packet = av.Packet(picture)
                packet.stream, packet.pts, packet.dts, packet.time_base = stream, index, index, Fraction(1, 25)
                out.mux(packet)
    done = subprocess.run(
        [sys.executable, "-c", READ_AND_COLLECT, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 1


def test_a_frame_without_matrix_is_upright():
    assert orientation(av.VideoFrame(16, 16, "rgb24")) == Orientation()


@pytest.mark.parametrize(
    ("ratio", "shape"), [((16, 11), (288, 512, 3)), ((8, 9), (288, 313, 3)), ((1, 1), (288, 352, 3))]
)
@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_pixels_become_square(tmp_path, ratio, shape, ending):
    def squeeze(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(*ratio)

    path = write(tmp_path / f"a.{ending}", (352, 288), change=squeeze)
    found = read(path).frames[0].rgb
    assert found.shape == pytest.approx(shape, abs=1)
    assert corners(found) == UPRIGHT


@pytest.mark.parametrize(
    ("stored", "ratio", "shown"),
    [
        ((640, 360), None, (640, 360)),
        ((1920, 1080), None, (640, 360)),
        ((1080, 1920), None, (640, 1138)),
        ((720, 576), (64, 45), (640, 360)),
        ((720, 480), (8, 9), (640, 480)),
        ((64, 16_384), None, (5, 1280)),
        ((16_384, 64), None, (640, 2)),
        ((1, 1), None, (1, 1)),
        ((100, 100), (0, 1), (100, 100)),
        ((100, 100), (1000, 1), (100, 100)),
        ((101, 99), None, (101, 99)),
    ],
)
def test_sizes_are_true_and_bounded(stored, ratio, shown):
    assert shown_size(*stored, None if ratio is None else Fraction(*ratio)) == pytest.approx(shown, abs=1)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (33, 17), (64, 2048), (4096, 32)])
def test_sizes_of_any_kind(tmp_path, size):
    path = write(tmp_path / "a.mkv", size, codec="ffv1", pixels="yuv444p")
    found = read(path).frames[0].rgb
    assert found.shape[0] <= 1280
    assert found.shape[1] <= 640
    if min(size) > 4:
        assert corners(found) == UPRIGHT


@pytest.mark.parametrize(
    ("ending", "codec", "pixels"),
    [
        ("mkv", "ffv1", "gray"),
        ("mkv", "ffv1", "yuv420p10le"),
        ("mkv", "ffv1", "bgra"),
        ("mkv", "ffv1", "gray16le"),
        ("mov", "png", "rgba"),
        ("avi", "rawvideo", "bgr24"),
        ("avi", "rawvideo", "yuyv422"),
    ],
)
def test_pixel_formats(tmp_path, ending, codec, pixels):
    rgb = read(write(tmp_path / f"a.{ending}", codec=codec, pixels=pixels)).frames[0].rgb
    assert rgb.shape == (48, 64, 3)
    assert rgb.dtype == np.uint8
    if not pixels.startswith("gray"):
        assert corners(rgb) == UPRIGHT


def bottom_up_avi(picture):
    """An AVI of raw pictures whose rows are stored from the bottom up, as Windows does it."""
    height, width = picture.shape[:2]
    rows = picture[::-1, :, ::-1].tobytes()

    def chunk(name, body):
        return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)

    def group(kind, *parts):
        return chunk(b"LIST", kind + b"".join(parts))

    main = struct.pack("<14I", 40_000, 0, 0, 0x10, 5, 0, 1, len(rows), width, height, 0, 0, 0, 0)
    head = b"vidsDIB " + struct.pack("<IHHIIIIIIIIHHHH", 0, 0, 0, 0, 1, 25, 0, 5, len(rows), 0, 0, 0, 0, width, height)
    form = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(rows), 0, 0, 0, 0)
    headers = group(b"hdrl", chunk(b"avih", main), group(b"strl", chunk(b"strh", head), chunk(b"strf", form)))
    movie = group(b"movi", *[chunk(b"00db", rows)] * 5)
    return chunk(b"RIFF", b"AVI " + headers + movie)


def test_rows_stored_from_the_bottom_up(tmp_path):
    path = tmp_path / "a.avi"
    path.write_bytes(bottom_up_avi(quartered(64, 48)))
    assert corners(read(path).frames[0].rgb) == UPRIGHT
