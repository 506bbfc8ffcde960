"""The studio: a page on which grids are painted, filled and explained, and the server behind it."""
