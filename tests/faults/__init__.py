"""Faults on demand: a failing disk, a broken network, dying tasks, and the invariants that must survive them."""
