"""The embedded stack: a real Kafka, PostgreSQL and Redis on this machine, without Docker.

`stack.py` is the door: `up`, `running`, `down`. Everything else is behind it.
"""
