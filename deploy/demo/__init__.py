"""One trading day of five shops, played through the real services and audited."""
