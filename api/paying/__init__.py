"""Collecting what is paid for: the providers that collect, and what they tell."""
