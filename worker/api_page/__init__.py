"""The API's description at /openapi.json, and as a page at /docs."""
