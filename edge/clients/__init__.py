"""The way out of the edge: the policy core, and nothing else."""
