"""Cells computed: by processes or by Ray, at a known cost."""
