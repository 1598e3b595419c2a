"""Regions across photos: spherical k-means, one index over all regions, the nearest regions elsewhere."""
