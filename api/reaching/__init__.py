"""Reaching people beyond a screen: webhooks and mail, from rows of the deciding transaction."""
