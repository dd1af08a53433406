"""Daemons: they run schedules by themselves, alone on one machine or as many replicas.

scheduler.py     computes what is due, and puts it into the agenda
worker.py        claims what is due, asks it on the one engine of its process; recovers the dead
local_queue.py   how a worker hears of work where the journal is SQLite; shared_queue.py for
                 PostgreSQL, by procrastinate
daemon.py        one process: its threads, its signals, its end
web.py           /healthz, /readyz, /metrics; metrics.py: what is counted; logs.py: what is said

Law: there is no leader. Every scheduler computes the same fires, the agenda has each once, and a
fire's run has an id that follows from the fire, so that no two drivers can start it.
"""
