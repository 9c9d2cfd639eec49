"""`python -m services.cli`: the commands alone, for servers that the environment names."""

from services.cli.app import main

main()
