"""Encoders on ONNX Runtime, batched over all rooms."""
