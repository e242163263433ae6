"""Who is next: a queue that is fair between sessions and priorities, without clocks, threads or wire."""
