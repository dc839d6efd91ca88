"""The blueprint that plugins make their resources of."""

from dservercore.rest.blueprint import Blueprint

__all__ = ["Blueprint"]
