"""The composition root: configuration in, a running gateway out. The only place where the parts are wired."""
