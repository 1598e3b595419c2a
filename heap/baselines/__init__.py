"""Methods that HEAP is compared with, on the same cached features: patch maps, and FOUND's head with its training.

- `trivial`: everything, a centred box, attention above its mean; `kmeans`: k-means of a photo and attention.
- `lost`, `tokencut`, `found` (seed and linear head): the published rules, matched on the peers' own output.
- `methods`: all of them by name; `stage`: one of them over a dataset;
  `train_found`: the training of FOUND's head, with `refine`, its targets after the bilateral solver.
"""
