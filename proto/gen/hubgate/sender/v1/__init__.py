"""Generated from the contracts in hubgate/sender/v1."""
