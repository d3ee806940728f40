"""The portable Worker core: what runs on a laptop and, unchanged, on Cloudflare Python Workers."""
