"""The rules of the till: pure. They know no clock, no chance, no network and no database."""
