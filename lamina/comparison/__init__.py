"""Comparison of networks and classical models on the same folds, with a verdict."""
