"""The policy as one ONNX file that takes raw camera frames."""
