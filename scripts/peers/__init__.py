"""What compare-peers measures beside our command: each peer in a worker process of its own."""
