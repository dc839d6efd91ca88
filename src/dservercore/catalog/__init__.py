"""The use cases: each function is a verb, and takes the actor or the scope as an argument.

Functions flush; the route or command that calls them commits.
"""
