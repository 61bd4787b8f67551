"""Tuning: a search for the options of a family and its recipe, and a verdict on whether it was worth it."""
