"""REST for customer systems, administrators, the sandbox and operators."""
