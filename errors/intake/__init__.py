"""The way from the socket to a durable row: an ASGI application beside Django's."""
