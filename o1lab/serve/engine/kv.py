"""The key-value cache of rows that are decoded together: rows join, leave, and share one left-padded tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

ROOM = 128
"""Number of spare columns of a layer: appending copies nothing until they are used up."""


class RoomyLayer(DynamicLayer):  # type: ignore[misc]  # transformers is not typed for us
    """A layer that appends in place; that of transformers copies all keys and values for every token."""

    keys: torch.Tensor
    values: torch.Tensor

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append ``[rows, heads, new, head_dim]`` and return all keys and values as views."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.put(key_states, value_states)
            return self.keys, self.values
        used, new = self.keys.shape[-2], key_states.shape[-2]
        if used + new > self._key_room.shape[-2]:
            self.put(self.keys, self.values, room=new + ROOM)
        self._key_room[:, :, used : used + new] = key_states
        self._value_room[:, :, used : used + new] = value_states
        self.keys = self._key_room[:, :, : used + new]
        self.values = self._value_room[:, :, : used + new]
        return self.keys, self.values

    def put(self, keys: torch.Tensor, values: torch.Tensor, *, room: int = ROOM) -> None:
        """Replace the content by copies of ``keys`` and ``values``, with ``room`` spare columns after them."""
        rows, heads, used, _ = keys.shape
        self._key_room = keys.new_empty(rows, heads, used + room, keys.shape[-1])
        self._value_room = values.new_empty(rows, heads, used + room, values.shape[-1])
        self.keys, self.values = self._key_room[:, :, :used], self._value_room[:, :, :used]
        self.keys.copy_(keys)
        self.values.copy_(values)


def new_cache() -> Cache:
    return Cache(layer_class_to_replicate=RoomyLayer)


def append_rows(first: Cache, second: Cache) -> None:
    """Append the rows of ``second`` to ``first``, both padded on the left to the wider of the two."""
    for a, b in zip(first.layers, second.layers, strict=True):
        width = max(a.keys.shape[-2], b.keys.shape[-2])
        a.put(
            torch.cat([_padded(a.keys, width), _padded(b.keys, width)]),
            torch.cat([_padded(a.values, width), _padded(b.values, width)]),
        )


def select_rows(cache: Cache, rows: list[int], first_column: int) -> None:
    """Keep only ``rows``, with their columns from ``first_column`` on."""
    for layer in cache.layers:
        layer.put(layer.keys[rows][:, :, first_column:], layer.values[rows][:, :, first_column:])


def take_rows(cache: Cache, rows: list[int], first_column: int = 0) -> Cache:
    """Return a cache with copies of ``rows``, with their columns from ``first_column`` on; empty if ``cache`` is."""
    taken = new_cache()
    for layer in cache.layers:
        _add_layer(taken, layer.keys[rows][:, :, first_column:], layer.values[rows][:, :, first_column:])
    return taken


def fork_rows(cache: Cache, lengths: Sequence[int]) -> Cache:
    """Return a cache with a row for each of ``lengths``: that number of columns from the start of the only row of
    ``cache``, padded on the left."""
    forked, width = new_cache(), max(lengths)
    if not width:
        return forked
    for layer in cache.layers:
        keys, values = layer.keys[:, :, :width], layer.values[:, :, :width]
        rows = [(_padded(keys[:, :, :one], width), _padded(values[:, :, :one], width)) for one in lengths]
        _add_layer(forked, torch.cat([one for one, _ in rows]), torch.cat([one for _, one in rows]))
    return forked


def join_rows(cache: Cache, parts: list[Cache], groups: list[list[int]]) -> None:
    """Replace the content of ``cache`` by that of ``parts``, whose rows are the rows ``groups`` of ``cache``."""
    order = torch.tensor([row for group in groups for row in group]).argsort()
    for index, layers in enumerate(zip(*(part.layers for part in parts), strict=True)):
        keys = torch.cat([layer.keys for layer in layers])[order]
        values = torch.cat([layer.values for layer in layers])[order]
        if index == len(cache.layers):
            _add_layer(cache, keys, values)
        else:
            cache.layers[index].put(keys, values)


def padded_mask(mask: torch.Tensor, width: int) -> torch.Tensor:
    """Return ``mask`` ([rows, columns], 1 for tokens) with zeros added on the left, up to ``width`` columns."""
    return torch.nn.functional.pad(mask, (width - mask.shape[1], 0))


def _add_layer(cache: Cache, keys: torch.Tensor, values: torch.Tensor) -> None:
    layer = RoomyLayer()
    layer.lazy_initialization(keys, values)
    layer.put(keys, values)
    cache.layers.append(layer)


def _padded(states: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(states, (0, 0, width - states.shape[-2], 0))
