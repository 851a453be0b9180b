"""Inkling: a self-hosted service for the whole life of a language model."""
