"""The reporting reader: what it does, any other team's reader of the closings topic can do."""
