"""The tables of the gateway: who may come in."""
