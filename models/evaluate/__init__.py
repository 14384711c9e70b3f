"""Scores the models of the pack as shipped, on ONNX Runtime."""
