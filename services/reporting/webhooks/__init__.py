"""Closings and corrections pushed to receivers over HTTP, by the Standard Webhooks specification."""
