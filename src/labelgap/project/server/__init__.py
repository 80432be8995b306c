"""The label page: an embedded server on the loopback address, and a page without any CDN."""
