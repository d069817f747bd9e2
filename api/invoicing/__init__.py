"""Invoicing: from closed periods and subscriptions to documents that were issued, and on."""
