"""Attention, at work."""

from __future__ import annotations

from lamina.graph.modules.part import Parts

PARTS: Parts = {}
