"""Families that are no networks: trees, weights, remembered rows. The ones to beat."""
