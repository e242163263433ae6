"""Logs, metrics and traces of a process. Metrics and traces are off, and cost nothing, until they are asked for."""
