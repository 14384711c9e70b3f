"""Chromium as a participant: a page on loopback publishes a file as camera and microphone, and obeys the test."""

import asyncio
import itertools
import wave
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

from aiohttp import web

from sidecar.demo.install import browser_client, chromium_binary
from sidecar.demo.media import FPS, HEIGHT_PX, SPEECH_RATE_HZ, WIDTH_PX, pictures, speech
from sidecar.demo.participant import participant_token
from sidecar.demo.servers import LOOPBACK, TETHER
from sidecar.dispatch.livekit_server import LiveKitServer
from sidecar.errors import Unavailable

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)

_READY_WITHIN_S = 60.0
_SECONDS = 2


class Browser:
    """A participant in Chromium."""

    def __init__(self) -> None:
        self._commands: asyncio.Queue[str] = asyncio.Queue()
        self._reports: asyncio.Queue[str] = asyncio.Queue()

    def tell(self, command: str) -> None:
        """For example `consent face`, `camera off`, `microphone off`, `others`, `leave`."""
        self._commands.put_nowait(command)

    async def report(self) -> str:
        """What the page says next. Raises `Unavailable` where it says nothing, or that it failed."""
        try:
            text = await asyncio.wait_for(self._reports.get(), _READY_WITHIN_S)
        except TimeoutError:
            raise Unavailable("the browser says nothing") from None
        if text.startswith("failed"):
            raise Unavailable(text)
        return text

    async def give_command(self, _request: web.Request) -> web.Response:
        return web.Response(text=await self._commands.get())

    async def take_report(self, request: web.Request) -> web.Response:
        self._reports.put_nowait(await request.text())
        return web.Response()


@asynccontextmanager
async def browser_participant(
    server: LiveKitServer, room: str, identity: str, *, media: Path, folder: Path, codec: str = "vp8"
) -> AsyncIterator[Browser]:
    """Chromium in a call, its tracks published; `folder` takes its profile and devices.

    Raises `ConfigurationError` where Chromium or the client is missing.
    """
    binary, client = chromium_binary(), browser_client()
    camera, microphone = write_devices(media, folder)
    browser = Browser()
    async with _site(browser, client) as address:
        query = urlencode({"url": server.url, "token": participant_token(server, room, identity), "codec": codec})
        devices = [f"--use-file-for-fake-video-capture={camera}", f"--use-file-for-fake-audio-capture={microphone}"]
        command = [str(binary), *FLAGS, *devices, f"--user-data-dir={folder / 'profile'}", f"{address}?{query}"]
        process = await asyncio.create_subprocess_exec(*TETHER, *command, stdout=DEVNULL, stderr=DEVNULL)
        try:
            assert await browser.report() == "ready"
            yield browser
        finally:
            await _end(process)


def write_devices(media: Path, folder: Path) -> tuple[Path, Path]:
    """The media as the files that Chromium plays in a loop: raw pictures and PCM, about 10 MB a second."""
    camera, microphone = folder / "camera.y4m", folder / "microphone.wav"
    with camera.open("wb") as file:
        file.write(f"YUV4MPEG2 W{WIDTH_PX} H{HEIGHT_PX} F{FPS}:1 Ip A1:1 C420jpeg\n".encode())
        for picture in itertools.islice(pictures(media), FPS * _SECONDS):
            file.write(b"FRAME\n" + picture)
    with wave.open(str(microphone), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(SPEECH_RATE_HZ)
        for samples in itertools.islice(speech(media), 10 * _SECONDS):
            sound.writeframes(samples.tobytes())
    return camera, microphone


@asynccontextmanager
async def _site(browser: Browser, client: Path) -> AsyncIterator[str]:
    """The page, served on a free port; its address."""
    page = Path(__file__).with_name("participant.html")

    async def give_page(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(page)

    async def give_client(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(client)

    application = web.Application()
    application.add_routes(
        [
            web.get("/participant", give_page),
            web.get("/livekit-client.js", give_client),
            web.get("/command", browser.give_command),
            web.post("/report", browser.take_report),
        ]
    )
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        yield f"http://{LOOPBACK}:{runner.addresses[0][1]}/participant"
    finally:
        await runner.cleanup()


async def _end(process: Process) -> None:
    """Chromium's own children end with it."""
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), 5)
    except TimeoutError:
        process.kill()
        await process.wait()
