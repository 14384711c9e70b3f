"""Tests of the sources of calls."""
