"""A page to paint, fill and understand grids: its parts in Python."""
