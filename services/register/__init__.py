"""The register's side: what a till says is durable here, then sent in order, and repeated until it is answered.

This folder is shipped twice: in Tillstream, where `till run register` runs it, and as the distribution
`tillstream-register` with the wire's models beside it and nothing of the servers. So its modules import each other
relatively and the wire as `contracts`, and know nothing else of this repository.
"""

__version__ = "0.1.0"
