"""The pack that the sidecar runs, and the recipes that make it."""
