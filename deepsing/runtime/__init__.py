"""What all service processes share: server, settings, model files, ONNX sessions, batching."""
