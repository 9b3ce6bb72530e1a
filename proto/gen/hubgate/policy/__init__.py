"""Generated from the contracts in hubgate/policy."""
