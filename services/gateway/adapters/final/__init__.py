"""The Final POS API 1.2.4."""
