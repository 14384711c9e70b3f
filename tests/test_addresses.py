"""Addresses in the environment: what is accepted, and that an error names the variable and never a password."""

import os
import subprocess
import sys

import pytest

from sidecar.addresses import checked_livekit_url, checked_redis_url, host_and_port
from sidecar.config import load_settings
from sidecar.errors import ConfigurationError

KEYS = {"LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "a secret of at least thirty-two bytes"}
SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        "ws://127.0.0.1:7880",
        "wss://calls.example.livekit.cloud",
        "http://livekit",
        "https://example.org/base/path/",
        "ws://[::1]:7880",
        "ws://[fe80::1%25eth0]:7880",
        "wss://münchen.example:443",
        "ws://livekit_1:7880",
    ],
)
def test_addresses_of_livekit(url):
    assert checked_livekit_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "ws://h:99999",
        "http://h:abc",
        "ws://h:٣",
        "ws://h:-1",
        "ws://h:0",
        "ws://h:",
        "ws://h:" + "9" * 5000,
        "ws://[::1",
        "ws://::1]",
        "ws://[localhost]",
        "ws://[]:7880",
        "ws://::1:7880",
        "ws://",
        "ws:///path",
        "ws://:7880",
        "ws:h:7880",
        "//h:7880",
        "h:7880",
        "redis://h",
        "ws://a b:7880",
        " ws://h:7880",
        "ws://h:7880\n",
        "ws://h\t:7880",
        "ws://h\\x",
        "ws://a..b",
        "ws://.b",
        "ws://" + "a" * 64,
        "ws://%68",
        f"ws://user:{SECRET}@h:7880",
        f"ws://user:{SECRET}@h:abc",
        f"ws://{SECRET}@h",
        f"ws://h?{SECRET}",
        f"ws://h#{SECRET}",
        "ws://h?",
        "ws://℀.example",
        "ws://\udcff",
    ],
)
def test_what_is_not_an_address_of_livekit(url):
    with pytest.raises(ConfigurationError, match="LIVEKIT_URL") as caught:
        load_settings(KEYS | {"LIVEKIT_URL": url})
    assert caught.value.exit_code == 2
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None  # the text of the cause quotes the address


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "redis://127.0.0.1",
        "redis://redis_1:6379/15",
        "redis://h/?db=3",
        "redis://:hunter2@h",
        "redis://user:p%40ss%2Fw%C3%B6rd@h:6379/1",
        "redis://user:p@ss@h:6379/1",
        "rediss://h:6380/0?ssl_cert_reqs=none&ssl_ca_certs=/etc/ca.pem",
        "rediss://[::1]:6380",
        "unix:///run/redis.sock",
        "unix:///run/redis.sock?db=2",
        "unix://user:hunter2@/run/redis.sock",
        "redis+cluster://h:7000",
        "redis+cluster://user:hunter2@h:7000/0",
        "rediss+cluster://h:7000?ssl_cert_reqs=none",
    ],
)
def test_addresses_of_redis(url):
    assert checked_redis_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "foo://x",
        "h:6379",
        "redis:h",
        "redis://",
        "redis:///0",
        "redis://:6379",
        "redis://h:99999",
        "redis://h:abc",
        "redis://h:0",
        "redis://h:",
        "redis://[::1",
        "redis://[::z]",
        "redis://h/notanumber",
        "redis://h/0/1",
        "redis://h/-1",
        "redis://h/٣",
        "redis://a b",
        "redis://h\n",
        "redis://a..b",
        f"redis://:{SECRET}%zz@h",
        f"redis://:{SECRET}%ff@h",
        f"redis://:{SECRET}%@h",
        f"redis://:{SECRET}/x@h:6379",
        f"redis://:{SECRET}#x@h:6379",
        f"redis://:{SECRET}?x@h:6379",
        f"redis://user:1?{SECRET}@h:6379",
        f"redis://:{SECRET}@h:abc",
        f"redis://:{SECRET}@",
        f"redis://h?password={SECRET}&socket_timeout=soon",
        f"redis://h?{SECRET}=1",
        "redis://h?protocol=9",
        "redis://h?db=x",
        "rediss://h?ssl_cert_reqs=sometimes",
        "unix://",
        "unix:///",
        "unix://run/redis.sock",
        "redis+cluster://h:7000/1",
        "redis+cluster://",
        "redis+tls://h",
        f"redis://:{SECRET}\udcff@h",
    ],
)
def test_what_is_not_an_address_of_redis(url):
    with pytest.raises(ConfigurationError, match="REDIS_URL") as caught:
        load_settings({"REDIS_URL": url})
    assert caught.value.exit_code == 2
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("localhost:65535", ("localhost", 65535)),
        ("[::1]:8080", ("::1", 8080)),
        ("[::]:8080", ("::", 8080)),
    ],
)
def test_addresses_to_listen_on(value, address):
    assert host_and_port("SIDECAR_HTTP", value) == address


@pytest.mark.parametrize(
    "value",
    [
        "8080",
        ":8080",
        "localhost",
        "localhost:",
        "localhost:web",
        "localhost:70000",
        "localhost:-1",
        "localhost:+80",
        "h:٣",
        "h:" + "9" * 5000,
        "::1:8080",
        "[::1:8080",
        "::1]:8080",
        "[]:8080",
        "[localhost]:8080",
        "a b:8080",
        "a..b:8080",
        "http://localhost:8080",
        "user@h:80",
        "\udcff:80",
    ],
)
def test_what_is_not_an_address_to_listen_on(value):
    with pytest.raises(ConfigurationError, match="SIDECAR_HTTP") as caught:
        load_settings({"SIDECAR_HTTP": value})
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("variable", ["LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"])
def test_a_key_that_is_not_utf_8(variable):
    with pytest.raises(ConfigurationError, match=variable):
        load_settings(KEYS | {"LIVEKIT_URL": "ws://h", variable: "\udcff"})


@pytest.mark.parametrize("command", ["worker", "watch"])
@pytest.mark.parametrize(
    ("variable", "value"), [("LIVEKIT_URL", f"ws://user:{SECRET}@h:99999"), ("REDIS_URL", f"foo://:{SECRET}@x")]
)
def test_the_command_ends_with_2(command, variable, value, tmp_path):
    environ = {**os.environ, **KEYS, "LIVEKIT_URL": "ws://127.0.0.1:1", variable: value}
    ran = subprocess.run(
        [sys.executable, "-m", "sidecar.cli", command],
        env=environ | {"SIDECAR_STATE": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"sidecar: {variable}: ")
    assert SECRET not in ran.stderr
    assert "Traceback" not in ran.stderr
