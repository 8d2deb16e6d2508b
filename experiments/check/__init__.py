"""`scalelab check`: this revision against a baseline, in five kinds: golden, law, detector, inference, speed."""
