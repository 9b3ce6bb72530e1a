"""The API of a 3CX V20 phone system: tokens, what is read of it, and watching it for missed calls."""
