"""Requests that are sent again under their `Idempotency-Key` are the same command again."""
