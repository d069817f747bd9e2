"""Seeded worlds whose figures come from a model that imports nothing of the product."""
