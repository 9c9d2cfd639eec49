"""How every process reaches PostgreSQL, and how its tables come up to date."""
