"""Makes what /openapi.json and /docs serve, and fetches the viewer that a host ships."""
