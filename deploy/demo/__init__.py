"""One trading day of four shops, played through the real services, and the audit of what came out."""
