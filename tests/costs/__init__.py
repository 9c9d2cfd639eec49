"""What an input costs for its bytes, whoever sends it."""
