"""Reduced-order models of simulation fields, always measured against POD."""
