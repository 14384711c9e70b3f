"""The token of an observer that joins by itself; one that was dispatched gets its token from the server."""

from datetime import timedelta

from livekit import api


def observer_token(
    api_key: str, api_secret: str, room: str, identity: str, lifetime: timedelta = timedelta(hours=1)
) -> str:
    """A token that lets its bearer hear and see one room without being announced in it.

    What it must not do is denied by name, because LiveKit's grants default to true.
    """
    grants = api.VideoGrants(
        room_join=True,
        room=room,
        hidden=True,
        can_subscribe=True,
        can_publish=False,
        can_publish_data=False,
        can_update_own_metadata=False,
    )
    token = api.AccessToken(api_key, api_secret).with_identity(identity).with_kind("agent").with_grants(grants)
    return token.with_ttl(lifetime).to_jwt()
