"""Fitting: from a table and settings to a model."""
