"""The platforms: the aiohttp host and the Workers entrypoint. They alone choose adapters."""
