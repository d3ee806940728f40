"""The laptop host: configuration, aiohttp, adapters."""
