"""How every process reaches Kafka, reads it, and writes to it."""
