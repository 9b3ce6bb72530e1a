"""WhatsApp webhooks: what each back end posts -> events in the gateway's own words. Pure throughout."""
