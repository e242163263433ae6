"""Authentication of callers, quotas and TLS: all of it is off until it is asked for."""
