"""The command line `till`: one file for each group of its commands, which import what they need when they run."""
