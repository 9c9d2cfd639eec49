"""What every service says over HTTP, whatever its API is."""
