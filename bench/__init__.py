"""Speed and memory of the whole; no test asserts on them, `make bench` prints them."""
