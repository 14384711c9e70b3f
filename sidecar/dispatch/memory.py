"""What a watcher remembers of one room between its looks."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sidecar.clock import Clock
from sidecar.dispatch.judgement import RoomView, Verdict
from sidecar.dispatch.rooms import Attendance, Dispatch


@dataclass(slots=True)
class RoomMemory:
    """All times in monotonic seconds."""

    listed: bool = False
    """The server listed the room. One known only from a webhook is forgotten once it is empty."""
    seen_s: float = float("-inf")
    """When the room was last looked at."""
    attempts: int = 0
    attempted_s: float = float("-inf")
    attended_since_s: float | None = None
    unattended_since_s: float | None = None
    dispatched_s: dict[str, float] = field(default_factory=dict)
    """When each dispatch was made or, by another watcher, how long ago it must have been."""

    def view(
        self,
        clock: Clock,
        attendance: Attendance,
        dispatches: Sequence[Dispatch],
        *,
        leased: bool,
        leases_trusted: bool,
        standby: bool,
    ) -> RoomView:
        """What is known of the room now."""
        now_s = self.seen_s = clock.monotonic()
        skewed_s = now_s - clock.wall()
        self.dispatched_s = {
            each.id: self.dispatched_s.get(each.id, min(now_s, each.created_wall_s + skewed_s)) for each in dispatches
        }
        newest_s = max(self.dispatched_s.values(), default=None)
        since_s = self.unattended_since_s
        return RoomView(
            people=attendance.people,
            observer=attendance.observer,
            leased=leased,
            leases_trusted=leases_trusted,
            standby=standby,
            youngest_dispatch_s=None if newest_s is None else now_s - newest_s,
            unattended_s=0.0 if since_s is None else now_s - since_s,
            attempts=self.attempts,
            since_attempt_s=now_s - self.attempted_s,
        )

    def remember(self, verdict: Verdict, now_s: float, settled_s: float) -> None:
        """Keep what the next look needs. After `settled_s` of attendance the attempts are forgotten."""
        if verdict is Verdict.ATTENDED:
            self.unattended_since_s = None
            if self.attended_since_s is None:
                self.attended_since_s = now_s
            if now_s - self.attended_since_s >= settled_s:
                self.attempts = 0
        else:
            self.attended_since_s = None
            if self.unattended_since_s is None:
                self.unattended_since_s = now_s

    def attempt(self, now_s: float) -> None:
        """Note that a dispatch is about to be made."""
        self.attempts += 1
        self.attempted_s = now_s
