"""What makes and measures the models that the services load; it needs the extra `train`, and no server imports it."""
