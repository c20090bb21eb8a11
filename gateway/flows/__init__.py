"""What the gateway does. One file is one story, read top to bottom."""
