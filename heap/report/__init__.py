"""One page that shows what was found: tables, curves, photos, clusters."""
