"""Configuration: the schema, parsing, validation and error messages. Does not import torch."""
