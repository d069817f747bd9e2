"""Documents: what is printed and filed of an invoice, the same bytes for the same invoice."""
