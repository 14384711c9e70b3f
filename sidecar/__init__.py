"""Reads consenting participants of live video calls and publishes engagement events."""

__version__ = "0.1.0"
