"""What the gateway is measured against: handlers as a competent team writes them, each run as a process of its own."""
