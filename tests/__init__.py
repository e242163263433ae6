import services as services  # before any test imports onnxruntime: switches its reports to its maker off
