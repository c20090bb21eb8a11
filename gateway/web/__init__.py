"""HTTP: bytes or JSON in, a flow called, an answer out."""
