"""What tests/chaos.py is made of: commands that are killed, files that are damaged, and what must hold afterwards."""
