"""Charts: an answer of usage as a picture for a slide, drawn by a process of its own."""
