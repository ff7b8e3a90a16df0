"""Kessai: a self-hosted card payment gateway."""
