"""The only process that opens connections to the outside: back ends, 3CX destinations, customer webhooks."""
