"""Recipes that turn third-party networks into the pack's ONNX files."""
