"""The gateway's own API: commands and answers as on Kafka, and the ledger to look at."""
