"""Packing: raw clinical files become samples in shards, by recipes that are data.

Reading order: `recipe.py` → `source.py` → `plan.py` → `shard.py` → `publish.py`; `pack.py` composes them.
"""
