"""What the test beds of the head share: a store written from arrays, one trial of the real code, its figures."""
