from pathlib import Path

import pytest

from sidecar.config import load_settings
from sidecar.errors import ConfigurationError

LIVEKIT = {"LIVEKIT_URL": "ws://127.0.0.1:7880", "LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "tellnobody"}


def test_defaults():
    settings = load_settings({})
    assert settings.redis_url == "redis://127.0.0.1:6379/0"
    assert (settings.http_host, settings.http_port) == ("127.0.0.1", 8080)
    assert settings.state == Path("state")
    assert (settings.models / "manifest.toml").exists()
    with pytest.raises(ConfigurationError, match="LIVEKIT_URL"):
        settings.livekit_server()


def test_a_file_sets_parts_of_the_tree(tmp_path):
    file = tmp_path / "sidecar.toml"
    file.write_text("[source]\nfps = 8.0\n\n[engines]\nlicence = 'commercial'\n")
    tree = load_settings({"SIDECAR_CONFIG": str(file)}).tree
    assert tree.source.fps == 8.0
    assert tree.engines.licence == "commercial"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[source]\nframes = 5\n", "frames"),
        ("[nonsense]\n", "nonsense"),
        ("[source]\nfps = 50.0\n", "fps"),
        ("[source]\nfps = 'five'\n", "fps"),
        ("[pipeline.smoothing]\nspeed = 1\n", "speed"),
        ("[source\n", "line 1"),
    ],
)
def test_what_the_file_may_not_say_is_named(tmp_path, text, named):
    file = tmp_path / "sidecar.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=named) as caught:
        load_settings({"SIDECAR_CONFIG": str(file)})
    assert str(file) in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_file():
    with pytest.raises(ConfigurationError, match=r"/no/such\.toml"):
        load_settings({"SIDECAR_CONFIG": "/no/such.toml"})


@pytest.mark.parametrize("absent", sorted(LIVEKIT))
def test_half_a_server_is_an_error_that_names_the_rest(absent):
    given = {name: value for name, value in LIVEKIT.items() if name != absent}
    with pytest.raises(ConfigurationError, match=absent):
        load_settings(given)


@pytest.mark.parametrize("url", ["127.0.0.1:7880", "redis://x", "ws://"])
def test_an_address_that_is_none(url):
    with pytest.raises(ConfigurationError, match="LIVEKIT_URL"):
        load_settings(LIVEKIT | {"LIVEKIT_URL": url})


@pytest.mark.parametrize("address", ["8080", "localhost", "localhost:web", "localhost:70000"])
def test_an_http_address_that_is_none(address):
    with pytest.raises(ConfigurationError, match="SIDECAR_HTTP"):
        load_settings({"SIDECAR_HTTP": address})


def test_secrets_stay_out_of_repr():
    settings = load_settings(LIVEKIT | {"REDIS_URL": "redis://:hidden@127.0.0.1/0"})
    assert "tellnobody" not in repr(settings)
    assert "hidden" not in repr(settings)
