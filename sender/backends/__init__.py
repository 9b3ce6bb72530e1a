"""One file per WhatsApp delivery provider: build a request, parse the answer, one literal code table."""
