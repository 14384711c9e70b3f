"""How the sidecar talks to Redis: one server or a cluster, whole answers or one of the sidecar's own errors."""
