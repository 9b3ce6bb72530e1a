"""Generated from the contracts in hubgate/policy/v1."""
