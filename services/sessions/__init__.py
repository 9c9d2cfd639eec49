"""The sessions service: reads commands, applies them batch by batch, answers each one once.

    worker:  main -> consumer -> batch_retry -> apply -> lock, ledger -> rules

`rules` know no clock, no network and no database; `ledger` is their rows in PostgreSQL; `tools` prove what the
worker has written, and give it back.
"""
