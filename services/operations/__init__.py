"""What an operator sets up, waits for and looks at; no service needs it to run."""
