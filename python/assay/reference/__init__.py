"""The protocol again in plain Python: slow, readable, sharing no code with the extension."""
