"""The metrics of whatever gathers jobs into batches for a device."""

from deepsing.telemetry.metrics import Counter, Gauge, Histogram

__all__ = ["BATCH_SIZE", "ITEM_SECONDS", "OUT_OF_MEMORY", "QUEUE_JOBS", "QUEUE_WAIT"]

PRIORITIES = ("live", "offline")
SIZES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
WAITS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ITEMS_S = (0.001, 0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 5)

QUEUE_JOBS = Gauge("deepsing_batch_queue_jobs", "Jobs that wait for the device.")
QUEUE_WAIT = Histogram(
    "deepsing_batch_queue_wait_seconds", "From a job's arrival to its turn.", WAITS_S, {"priority": PRIORITIES}
)
BATCH_SIZE = Histogram("deepsing_batch_size", "Weight of a batch that was computed: its pictures.", SIZES)
ITEM_SECONDS = Histogram("deepsing_batch_item_seconds", "Work of the device on a batch, by its weight.", ITEMS_S)
OUT_OF_MEMORY = Counter("deepsing_batch_out_of_memory", "Batches for which memory ran out; later ones are smaller.")
