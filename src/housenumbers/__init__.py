"""housenumbers: reproducible recognition of street-view house-number digits (SVHN)."""

__version__ = "0.1.0"
