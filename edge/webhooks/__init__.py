"""Webhooks that 3CX and WhatsApp back ends post to."""
