"""`python -m gateway`, the same as `faurya-gateway`."""

from gateway.cli import main

main()
