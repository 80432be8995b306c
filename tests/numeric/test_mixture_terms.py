"""Mixtures term by term: defaults that are promised, types and places, where scales come from."""
