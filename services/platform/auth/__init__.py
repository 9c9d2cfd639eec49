"""Who speaks: tokens, the keys that sign them, and whose tokens count no longer."""
