"""Tokens, options and messages of the LiveKit source."""

import logging
from datetime import timedelta

import msgspec
import pytest
from livekit import api

from sidecar.sources.livekit import LiveKitOptions, TokenMask, mask_sdk_logs, observer_token

SECRET = "0123456789abcdef0123456789abcdef"


def test_the_token_denies_what_an_observer_must_not_do() -> None:
    token = observer_token("key", SECRET, "room / 😀", "engagement-sidecar", timedelta(minutes=5))
    claims = api.TokenVerifier("key", SECRET).verify(token)
    assert (claims.identity, claims.kind) == ("engagement-sidecar", "agent")
    grants = claims.video
    assert grants is not None
    assert (grants.room, grants.room_join, grants.hidden, grants.can_subscribe) == ("room / 😀", True, True, True)
    assert (grants.can_publish, grants.can_publish_data, grants.can_update_own_metadata) == (False, False, False)


@pytest.mark.parametrize("wrong", [{"fps": 0}, {"fps": 11}, {"ice_servers": []}, {"frames": 5}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, LiveKitOptions)


def test_tokens_are_masked_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    token = observer_token("key", SECRET, "room", "me")
    logger = logging.getLogger("livekit")
    mask = TokenMask()
    logger.addFilter(mask)
    try:
        logger.warning("refused: %s, reason %d", token, 401)
    finally:
        logger.removeFilter(mask)
    assert caplog.messages == ["refused: (token), reason 401"]


def test_the_sdk_logs_neither_names_nor_whole_events(caplog: pytest.LogCaptureFixture) -> None:
    mask_sdk_logs()
    mask_sdk_logs()
    sdk = logging.getLogger("livekit")
    sdk.warning('Disconnected from room "Anna and Bob" with reason: %s', "ClientInitiated")
    try:
        {}["anna"]
    except KeyError:
        logging.exception("error running user callback for %s: %s", "track_muted", 'identity: "anna"\n name: "Anna"')
    logging.warning("another message of the root logger")
    assert caplog.messages == [
        'Disconnected from room "..." with reason: ClientInitiated',
        "error running user callback for track_muted: KeyError",
        "another message of the root logger",
    ]
    assert "anna" not in caplog.text
