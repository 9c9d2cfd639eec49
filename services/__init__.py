"""The processes of Tillstream, each to be scaled alone, and the command line `till`."""
