"""The consumer of the commands topic."""
