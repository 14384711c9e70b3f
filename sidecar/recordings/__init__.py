"""Recordings read through the same pipeline as live rooms."""
