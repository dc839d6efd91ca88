"""The use cases: each function is a verb, told who acts and in which scope. Functions flush; the edge commits."""
