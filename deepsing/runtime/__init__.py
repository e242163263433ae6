"""What every service process needs and no service should write twice: server, errors, settings, models, logs."""
