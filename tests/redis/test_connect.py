import pytest
from redis.asyncio import Redis

from sidecar.errors import ConfigurationError
from sidecar.redis.connect import ClusterClient, connect

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("foo://x", "redis://"),
        ("", "redis://"),
        ("localhost:6379", "redis://"),
        ("redis://h:99999", "port"),
        ("redis://h:abc", "port"),
        ("redis://h:0", "port"),
        ("redis://[::1", "host"),
        (f"redis://user:{SECRET}/x@h", "percent-encoded"),
        ("redis://h/abc", "database"),
        ("redis://h?db=x", "option"),
        ("redis://h?decode_responses=yes", "decode_responses"),
        ("redis://h?ssl_ca_certs=/x", "rediss://"),
        ("rediss://h?ssl_cert_reqs=perhaps", "option"),
        ("rediss://h?ssl_ca_certs=/no/such/file", "ssl_ca_certs"),
        ("redis+cluster://h/1", "database 0"),
        ("redis+cluster://h?db=1", "database 0"),
        ("redis+cluster:///", "host"),
    ],
)
def test_what_is_no_address_is_refused_without_quoting_it(url, says):
    with pytest.raises(ConfigurationError, match=r"^REDIS_URL") as refused:
        connect(url)
    assert says in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_ca_file_without_certificates_is_refused(tmp_path):
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    with pytest.raises(ConfigurationError, match="PEM"):
        connect(f"rediss://h?ssl_ca_certs={file}")


@pytest.mark.parametrize("url", ["redis://h", "redis://u:p%40w@h:1/2", "rediss://h:1", "unix:///run/redis.sock?db=1"])
def test_one_server(url):
    assert isinstance(connect(url), Redis)


@pytest.mark.parametrize("url", ["redis+cluster://h:7000", "rediss+cluster://u:p@h/0"])
async def test_a_cluster(url):
    assert isinstance(connect(url), ClusterClient)
