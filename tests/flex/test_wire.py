"""Capture contexts, encrypted cards and transient tokens over real sockets, on both engines."""
