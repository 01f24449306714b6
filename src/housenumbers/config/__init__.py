"""Configuration: its schema, from the command line to checked values, and the messages for mistakes in it. No torch."""
