"""Everything on one machine without an account anywhere: stand-ins, a demo shop, their pages."""
