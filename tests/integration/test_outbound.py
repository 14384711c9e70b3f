"""The running sidecar sends nothing to an address that is not in its configuration."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.netns import CABLE, CONTROLS, DISCARD_PORT, ENOUGH_ESTIMATES

pytestmark = pytest.mark.integration

WITHIN_S = 300.0  # a loaded machine starts slowly
REPOSITORY = Path(__file__).parents[2]
STUN_ELSEWHERE = "203.0.113.7"  # RFC 5737: for documentation, nobody's


@pytest.fixture
def namespace() -> list[str]:
    """What to put before a command so that it runs in a network namespace of its own."""
    if sys.platform != "linux" or not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("network namespaces need Linux, util-linux (`unshare`) and iproute2 (`ip`)")
    if os.geteuid() != 0:
        pytest.skip("network namespaces and packet capture need root")
    probe = subprocess.run(["unshare", "--net", "ip", *CABLE.split()], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"no network namespace can be made here: {probe.stderr.strip()}")
    return ["unshare", "--net"]


def traffic_of_a_call(namespace, folder, configuration):
    path = folder / "sidecar.toml"
    path.write_text(configuration)
    ended = subprocess.run(
        [*namespace, sys.executable, "-m", "tests.integration.netns"],
        cwd=REPOSITORY,
        env={**os.environ, "SIDECAR_CONFIG": str(path), "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def control_packets(traffic):
    assert traffic["controls"][0] == CONTROLS[0]
    return [f"udp {address} {DISCARD_PORT}" for address in traffic["controls"]]


@pytest.mark.parametrize(
    ("configuration", "configured"),
    [
        pytest.param("", [], id="default: everything on loopback"),
        pytest.param(
            f'[source]\nice_servers = ["stun:{STUN_ELSEWHERE}:3478"]\n',
            [f"udp {STUN_ELSEWHERE} 3478"],
            id="a STUN server elsewhere",
        ),
    ],
)
def test_every_packet_goes_where_the_configuration_says(namespace, tmp_path, configuration, configured):
    """The second case also shows that the worker's own packets would be seen."""
    traffic = traffic_of_a_call(namespace, tmp_path, configuration)
    assert traffic["estimates"] >= ENOUGH_ESTIMATES
    assert traffic["outside"] == sorted(control_packets(traffic) + configured)
    assert traffic["unaccounted"] == []
    assert {"livekit", "livekit media", "redis", "sidecar http"} <= traffic["loopback"].keys()
    assert traffic["lost"] == 0
