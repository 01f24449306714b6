"""The Python interface, which `import housenumbers` offers: docs/python.md."""
