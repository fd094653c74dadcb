"""Patches of resources: each kind in a file of its own, text in and text out.

What a patch does not touch keeps its bytes: decimals their zeros, timestamps their spelling, members their order.
"""
