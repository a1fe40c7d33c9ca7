"""DECIDE: evidence in, decision out; private to the package. It sees traits and evidence, never a backend."""
