"""One trading day of four shops, played through the real services and audited."""
