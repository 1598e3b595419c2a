"""Are the regions of like objects alike? Regions that were found in photos whose classes are known, clustered."""

from __future__ import annotations

import faiss
import numpy as np
from sklearn.metrics import normalized_mutual_info_score

from heap.group.apply import Grouped

NONE = -1
# As many clusters as the planted world and PASCAL VOC have classes.
_CLUSTERS = 20


def figures(found: list[Grouped], classes: list[np.ndarray]) -> dict[str, float]:
    """Figures of the foreground regions of some photos.

    Args:
        found: what the head says of each photo.
        classes: `(N,)` class of each patch of the same photos, `NONE` where there is none.

    Returns:
        regions: how many foreground regions have a class (most of their patches, `NONE` counted, are of it).
        nmi: normalised mutual information of their classes with 20 clusters (spherical k-means) of their embeddings.
        purity: share of them whose class is the most frequent one of their cluster.
        nearest: share whose nearest region of another photo has the same class.
    """
    embeddings, labels, photos = [], [], []
    for number, (one, known) in enumerate(zip(found, classes, strict=True)):
        for row, token in enumerate(one.tokens):
            if one.score[row] <= 0.5:
                continue
            values, counts = np.unique(known[one.region == token], return_counts=True)
            label = int(values[counts.argmax()])
            if label != NONE:
                embeddings.append(one.embeddings[row])
                labels.append(label)
                photos.append(number)
    x, label, photo = np.stack(embeddings), np.array(labels), np.array(photos)
    means = faiss.Kmeans(x.shape[1], _CLUSTERS, niter=30, nredo=5, seed=0, spherical=True, min_points_per_centroid=1)
    means.train(x)
    cluster = means.index.search(x, 1)[1].ravel()
    pure = sum(np.unique(label[cluster == c], return_counts=True)[1].max() for c in np.unique(cluster))
    cosine = np.where(photo[:, None] == photo, -2.0, x @ x.T)
    return {
        "regions": float(len(x)),
        "nmi": float(normalized_mutual_info_score(label, cluster)),
        "purity": float(pure / len(x)),
        "nearest": float((label[cosine.argmax(1)] == label).mean()),
    }


def both_found(found: list[Grouped], classes: list[np.ndarray]) -> dict[str, float]:
    """Figures of photos of two objects of different classes.

    Returns:
        kept: share of photos in which at least half of each object's patches are foreground.
        apart: share of those in which the two objects' most frequent foreground regions are different ones.
    """
    kept, apart = [], []
    for one, known in zip(found, classes, strict=True):
        objects = [known == c for c in np.unique(known) if c != NONE]
        inside = one.foreground > 0.5
        kept.append(all(inside[o].mean() >= 0.5 for o in objects))
        if kept[-1]:
            regions = {int(np.bincount(one.region[o & inside]).argmax()) for o in objects}
            apart.append(len(regions) == len(objects))
    return {"kept": float(np.mean(kept)), "apart": float(np.mean(apart)) if apart else 0.0}
