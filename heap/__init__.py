"""HEAP: unsupervised object discovery and localization with contrastive grouping.

Zhang, Xie, Yuan, Bi Mi, Tan. AAAI 2024, arXiv 2312.17492. The equations here are consistent with the published
description and are this project's own where the paper could not be read; see the README.
"""

__version__ = "0.1.0"
