"""The reporting reader's tables."""
