"""Detectors as graphs of standard ONNX operators, verified, quantized and described."""
