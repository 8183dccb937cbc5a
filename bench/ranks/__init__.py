"""What runs on the ranks: one module per measurement, started by its bench, never by hand."""
