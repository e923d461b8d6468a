"""What people's browsers cost, and what they see."""

from bench.web.bench import web

__all__ = ["web"]
