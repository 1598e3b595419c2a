"""`heap score`: masks, boxes, clusters or instances of any method, by any program, measured as in the benchmarks."""
