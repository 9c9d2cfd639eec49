"""What every service stands on. Nothing here knows of sessions, closings or tills."""
