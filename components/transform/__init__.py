"""What TFX's Transform hosts."""
