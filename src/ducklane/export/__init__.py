"""The policy as one ONNX file that takes the raw camera."""
