"""Masks, boxes and instances at the photos' own resolution."""
