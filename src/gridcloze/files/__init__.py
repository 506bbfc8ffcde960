"""What stands on disk: names, pictures, arrays, palettes, grids and maps."""
