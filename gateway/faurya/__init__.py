"""Faurya's two dialects, pure: a due delivery becomes a request, an answer becomes a verdict."""
