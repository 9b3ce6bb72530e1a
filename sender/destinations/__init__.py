"""One file per kind of address that events are posted to."""
