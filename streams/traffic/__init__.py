"""Traffic from files: simulated, converted from public formats, replayed to Kafka."""
