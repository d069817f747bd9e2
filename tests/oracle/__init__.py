"""A second opinion on Kuota's figures: plain loops that import nothing of the product."""
