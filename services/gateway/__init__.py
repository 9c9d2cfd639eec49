"""The gateway: other programs' requests become commands, and answers become replies."""
