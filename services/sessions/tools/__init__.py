"""What proves the ledger, and gives back what it holds."""
