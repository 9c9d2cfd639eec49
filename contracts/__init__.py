"""The wire: what other people's programs touch, and nothing else.

Everything here can be used without the services: a register or a reporting reader written in Python may import it.
"""
