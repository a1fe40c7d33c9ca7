"""RUN: ways of running a batch; private to the package. They run what they are given and never ask why."""
