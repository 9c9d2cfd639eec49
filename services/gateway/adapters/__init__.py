"""Existing POS APIs over the same commands. No rule of the till is in any of them."""
