"""Solutions from files: .npz, of values at points or on a grid."""

import zipfile
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from stde_cli.expressions import Layout
from stde_cli.problem.domains import AbstractDomain
from stde_cli.problem.tabulated import Axis, Samples, Tabulated
from stde_cli.system.errors import UsageError

KEY = "pde.solution.file"
_STENCIL = 6
"""Points of the polynomials between those of a grid, in each coordinate, if it has as many."""
_SLACK = 1e-4
"""How far from an end of the range, against its length, a grid may begin or stop."""


def read_solution(path: Path, layout: Layout, domain: AbstractDomain) -> Samples | Tabulated:
    """`points` (count, dim) and `values` (count), or an array a coordinate and `values` on a grid.

    Raises:
        UsageError: it is no such file, values are missing or not finite, or it is not of the
            domain.
    """
    arrays = _arrays(path)
    if "values" not in arrays:
        raise UsageError(KEY, path, f"has no values, but {', '.join(arrays) or 'nothing'}", _KINDS)
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise UsageError(KEY, path, f"{name} are no real numbers, but {array.dtype}")
        if not np.isfinite(array).all():
            raise UsageError(KEY, path, f"{name} are not all finite")
    values = arrays.pop("values").astype(float)
    source = f"data of {path}"
    if set(arrays) == {"points"}:
        points = _points(path, arrays["points"].astype(float), layout, domain)
        if values.shape != points.shape[:1]:
            why = f"has {len(points)} points, and values of shape {values.shape}"
            raise UsageError(KEY, path, why)
        return Samples(jnp.asarray(points), jnp.asarray(values), source)
    labels = [layout.label(position) for position in range(min(layout.dim, 32))]
    if sorted(arrays) != sorted(labels) or layout.dim != len(labels):
        named = ", ".join(arrays) or "nothing"
        raise UsageError(KEY, path, f"beside values it has {named}", _KINDS)
    axes = [_axis(path, label, arrays[label], layout, domain) for label in labels]
    shape = tuple(arrays[label].size for label in labels)
    if values.shape != shape:
        why = f"the values have the shape {values.shape}, and {', '.join(labels)} make {shape}"
        raise UsageError(KEY, path, why)
    kept = values[tuple(slice(axis.nodes.size) for axis in axes)]
    return Tabulated(tuple(axes), jnp.asarray(kept), source)


_KINDS = "give points and values, or values and an array for each coordinate"


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise UsageError(KEY, path, "no such file", "it is looked for from the working directory")
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise UsageError(KEY, path, "is no .npz file, but one array", _KINDS)
        with archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(KEY, path, f"is no .npz file ({reason})", _KINDS) from error


def _points(
    path: Path, points: np.ndarray, layout: Layout, domain: AbstractDomain
) -> Float[np.ndarray, "points dim"]:
    if points.ndim != 2 or points.shape[1] != layout.dim or not len(points):
        why = f"points have the shape {points.shape}"
        raise UsageError(KEY, path, why, f"give (count, {layout.dim})")
    within = np.asarray(jax.vmap(domain.contains)(jnp.asarray(points)))
    if not within.all():
        row = int(np.argmin(within)) + 1
        raise UsageError(KEY, path, f"row {row} of points lies outside the domain")
    return points


def _axis(
    path: Path, label: str, nodes: np.ndarray, layout: Layout, domain: AbstractDomain
) -> Axis:
    position = next(k for k in range(layout.dim) if layout.label(k) == label)
    if nodes.ndim != 1 or nodes.size < 2 or not (np.diff(nodes) > 0).all():
        raise UsageError(KEY, path, f"{label} must be two numbers or more that rise")
    extent = np.asarray(domain.extent, float)
    low, high = extent[:, position]
    beyond = extent.mean(axis=0)
    beyond[position] = 2 * high - low
    if domain.contains(jnp.asarray(beyond, float)):
        # Points lie beyond any grid, and what is interpolated is of no use there.
        raise UsageError(KEY, path, f"{label} has no ends, as a grid has", "give points and values")
    slack = _SLACK * (high - low)
    circles = next((c for c in domain.circles if c.start <= position < c.stop), None)
    reached = nodes[-1] if circles is None else nodes[-1] + np.diff(nodes).max()
    whole = abs(nodes[0] - low) <= slack and reached >= high - slack
    if not whole or nodes[-1] > high + slack:
        why = f"{label} goes from {nodes[0]:g} to {nodes[-1]:g}, not from {low:g} to {high:g}"
        raise UsageError(KEY, path, why)
    period = None
    if circles is not None:
        period = circles.length
        # The same point again.
        nodes = nodes[nodes < high - slack]
    return Axis(jnp.asarray(nodes, float), min(_STENCIL, nodes.size), period=period)
