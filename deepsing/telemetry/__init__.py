"""What a process says of itself: logs, metrics, traces. The last two cost nothing until they are asked for."""
