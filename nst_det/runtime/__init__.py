"""Detection by exported models, with numpy, Pillow and ONNX Runtime or OpenVINO alone."""
