"""Measures the running product over its real webhook, beside the bare hops; `python -m bench`."""
