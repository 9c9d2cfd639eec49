"""What the HTTP APIs and the topics look like, as pages that load nothing from elsewhere."""
