"""A whole call inside a network namespace of its own, whose every packet is seen.

`unshare --net python -m tests.integration.netns` starts LiveKit server, Redis, `sidecar worker` and one simulated
participant there, and prints one JSON object (`Traffic`). The namespace has the loopback interface and one end of a
cable, `outside`, through which the default routes lead: what anybody sends to another address, a DNS query included,
leaves through it as a packet, which nobody answers.
"""

import asyncio
import json
import socket
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Self

from sidecar.demo.cast import cast_member
from sidecar.demo.roles import Role, find_clips, roles
from sidecar.demo.servers import LOOPBACK, LiveKitProcess, RedisProcess, free_port
from sidecar.demo.worker import running_worker
from tests.integration.subscriber import Subscriber, data, estimates_with

CABLE: Final = "link add outside type veth peer name beyond"
"""Not `type dummy`, which small kernels lack."""
ROOM: Final = "outbound / 📡"
ENOUGH_ESTIMATES: Final = 3
CONTROLS: Final = ("198.51.100.1", "2001:db8:ffff::1")
"""Documentation addresses (RFC 5737, RFC 3849) that the driver itself writes to: the capture must show them."""
DISCARD_PORT: Final = 9
STUN_PORT: Final = 3478
WITHIN_S: Final = 150.0

# linux/if_ether.h, linux/if_packet.h, linux/socket.h
_ETH_P_ALL: Final = 0x0003
_SOL_PACKET: Final = 263
_PACKET_STATISTICS: Final = 6
_SO_RCVBUFFORCE: Final = 33
_BUFFER_BYTES: Final = 64 << 20  # a starved driver reads late
_HEADERS_BYTES: Final = 128

# linux/in.h, linux/in6.h
_TRANSPORTS: Final = {6: "tcp", 17: "udp"}
_OF_THE_KERNEL: Final = {"ip4 protocol 1", "ip6 protocol 0", "ip6 protocol 58"}
"""ICMP's errors; multicast reports, the only packets that begin with hop-by-hop options (RFC 3810); ICMPv6."""

Ports = dict[tuple[str, int], str]
"""What listens on a transport's port of the loopback interface."""

_IPV4: Final = (
    "link set lo up",
    CABLE,
    "link set outside arp off",  # a packet leaves though nobody answers for the next hop
    "link set beyond up",
    "link set outside up",
    "address add 192.0.2.10/24 dev outside",
    "route add default dev outside",
)
_IPV6: Final = ("address add 2001:db8::10/64 dev outside nodad", "-6 route add default dev outside")


@dataclass(frozen=True, slots=True, order=True)
class Flow:
    """Where packets came from and went; ports are 0 for what has none."""

    protocol: str
    source: str
    source_port: int
    destination: str
    port: int


@dataclass(slots=True)
class Traffic:
    """What was sent during a call."""

    controls: list[str]
    """Addresses that the driver wrote to by itself."""
    outside: list[str] = field(default_factory=list)
    """`PROTOCOL ADDRESS PORT` of everything that left, without repetition."""
    loopback: dict[str, int] = field(default_factory=dict)
    """Packets on the loopback interface by the server that is at either end."""
    unaccounted: list[str] = field(default_factory=list)
    """Flows on the loopback interface with no server of the configuration at either end."""
    lost: int = 0
    """Packets that the capture itself missed."""
    estimates: int = 0


class Capture:
    """Counts the flows of all packets sent through an interface, from now on."""

    def __init__(self, interface: str) -> None:
        self.flows: Counter[Flow] = Counter()
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._socket.bind((interface, _ETH_P_ALL))
        self._socket.setblocking(False)

    def __enter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._socket, self.drain)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def drain(self) -> None:
        """Count what the kernel has kept."""
        while True:
            try:
                packet, (_, protocol, direction, *_) = self._socket.recvfrom(_HEADERS_BYTES)
            except BlockingIOError:
                return
            if direction == socket.PACKET_OUTGOING:
                self.flows[flow_of(protocol, packet)] += 1

    def lost(self) -> int:
        """Packets that found the buffer full since the last call."""
        _, drops = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        return int(drops)


def flow_of(ethertype: int, packet: bytes) -> Flow:
    """The flow of a packet that begins with its network header (RFC 791, RFC 8200)."""
    match ethertype:
        case 0x0800:  # ETH_P_IP
            transport, source, destination = packet[9], packet[12:16], packet[16:20]
            ports = packet[4 * (packet[0] & 0x0F) :]
        case 0x86DD:  # ETH_P_IPV6
            transport, source, destination = packet[6], packet[8:24], packet[24:40]
            ports = packet[40:]
        case _:
            return Flow(f"ethertype {ethertype:#06x}", "", 0, "", 0)
    known = _TRANSPORTS.get(transport)
    source_port, port = struct.unpack_from("!HH", ports) if known else (0, 0)
    protocol = known or f"ip{packet[0] >> 4} protocol {transport}"
    return Flow(protocol, str(ip_address(source)), source_port, str(ip_address(destination)), port)


def lay_cable() -> list[str]:
    """Make the interfaces, send a datagram to each control address through them; returns those addresses."""
    disabled = Path("/proc/sys/net/ipv6/conf/default/disable_ipv6")
    both = disabled.exists() and disabled.read_text().strip() == "0"
    commands = (*_IPV4, *_IPV6) if both else _IPV4
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)
    return list(CONTROLS if both else CONTROLS[:1])


def write_to(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"control", (address, DISCARD_PORT))


async def observe(folder: Path) -> Traffic:
    """A call until its estimates are on Redis and its worker has drained."""
    traffic = Traffic(lay_cable())
    ada, _ = roles(find_clips(), None, folder)
    rtc: dict[str, Any] = {"tcp_port": free_port(), "udp_port": free_port(socket.SOCK_DGRAM)}
    rtc |= {"use_external_ip": False, "enable_loopback_candidate": True, "ips": {"includes": [f"{LOOPBACK}/32"]}}
    with Capture("outside") as outside, Capture("lo") as loopback:
        for address in traffic.controls:
            write_to(address)
        with LiveKitProcess({"rtc": rtc}) as livekit, RedisProcess() as redis:
            servers: Ports = {
                ("tcp", livekit.port): "livekit",
                ("tcp", rtc["tcp_port"]): "livekit media",
                ("udp", rtc["udp_port"]): "livekit media",
                ("tcp", redis.port): "redis",
                ("udp", STUN_PORT): "stun",
            }
            traffic.estimates = await hold_call(livekit, redis, ada, folder / "state", servers)
        for capture in (outside, loopback):
            capture.drain()
        traffic.lost = outside.lost() + loopback.lost()
        account(traffic, outside.flows, loopback.flows, servers)
    return traffic


async def hold_call(livekit: LiveKitProcess, redis: RedisProcess, role: Role, state: Path, servers: Ports) -> int:
    """Returns how many estimates were read; adds the worker's own port to `servers`."""
    async with running_worker(livekit.server, redis.url, state) as worker:
        servers["tcp", int(worker.http_url.rpartition(":")[2])] = "sidecar http"
        await worker.ready()
        async with (
            cast_member(
                livekit.server,
                ROOM,
                role.identity,
                media=role.media,
                voice=role.voice,
                consent=role.consent,
                transcript="\n".join(role.lines),
            ),
            Subscriber(redis.url, ROOM) as subscriber,
        ):
            events = await subscriber.until(
                lambda found: (
                    len(data(found, "estimate")) >= ENOUGH_ESTIMATES
                    and estimates_with(found, role.identity, "face", "voice", "text")
                ),
                WITHIN_S,
            )
    return len(data(events, "estimate"))


def account(traffic: Traffic, outside: Counter[Flow], loopback: Counter[Flow], servers: Ports) -> None:
    """Sort what was captured into `traffic`."""
    traffic.outside = sorted(
        {f"{flow.protocol} {flow.destination} {flow.port}" for flow in outside if flow.protocol not in _OF_THE_KERNEL}
    )
    counts: Counter[str] = Counter()
    for flow, packets in sorted(loopback.items()):
        server = servers.get((flow.protocol, flow.port)) or servers.get((flow.protocol, flow.source_port))
        if server is not None:
            counts[server] += packets
        elif flow.protocol not in _OF_THE_KERNEL:
            traffic.unaccounted.append(str(flow))
    traffic.loopback = dict(counts)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="sidecar-netns-") as folder:
        traffic = asyncio.run(observe(Path(folder)))
    json.dump(asdict(traffic), sys.stdout)


if __name__ == "__main__":
    main()
