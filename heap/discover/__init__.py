"""A trained model on photos: loaded from one folder, called from Python or the shell, and searched with."""
