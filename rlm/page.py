"""A trace as one page that needs nothing else: the tree of solvers and calls, with code, output and cost of each."""
