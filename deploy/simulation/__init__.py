"""A chain of shops that never was, for load and for looking at the console; it recounts what it did at the end."""
