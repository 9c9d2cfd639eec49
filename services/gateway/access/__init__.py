"""Who asks: users, passwords, API keys and bearer tokens."""
