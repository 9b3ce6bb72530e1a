"""The edge: ends webhooks and REST, authenticates, parses, and asks the policy core. Knows no policy."""
