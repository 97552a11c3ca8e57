"""The training step of SDGD as published in PyTorch: a loop over sampled coordinates, grad of grad.

Network, hard constraint, points, source, optimizer and schedule are those of the configuration, all
of them in PyTorch, which is imported here alone and only when it is asked for. Every step runs
eagerly, as in the published code: nothing is compiled.
"""

import time
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from stde_cli.config.build import build
from stde_cli.problem.pdes import (
    AbstractManufactured,
    AbstractPDE,
    AbstractSolution,
    AllenCahn,
    Poisson,
    SineGordon,
    ThreeBody,
    TwoBody,
)
from stde_cli.system.errors import UsageError

Tensor = Any
"""PyTorch is no requirement, so that its types cannot be named."""

_TAKEN: Mapping[str, tuple[str, str]] = {
    "network": ("mlp", "stde_cli.MLP"),
    "optimizer": ("adam", "optax.adam"),
    "schedule": ("linear", "stde_cli.schedules.linear"),
    "loss": ("residual", "stde_cli.Residual"),
    "collocation": ("uniform", "stde_cli.Uniform"),
}
"""What the published step has in these groups: the choice and what it makes."""


class Training:
    """SDGD in PyTorch for one configuration. u = constraint(x) MLP(x), without start or guess.

    Raises:
        UsageError: PyTorch is not installed, or the configuration asks for what it does not have.
    """

    def __init__(self, config: DictConfig):
        if find_spec("torch") is None:
            why = "it needs the package torch, which is not installed"
            mend = "pip install 'stde[torch]'"
            raise UsageError("estimator", "sdgd_backward_pytorch", why, mend)
        for group, (choice, target) in _TAKEN.items():
            if config[group]["_target_"] != target:
                why = "the step in PyTorch has no such thing"
                raise UsageError(group, config.choices.get(group), why, f"{group}={choice}")
        self.torch = torch = import_module("torch")
        double = config.runtime.precision == "float64"
        self.kind = {"dtype": torch.float64 if double else torch.float32}
        self.source = Source(_pde_of(config), torch, self.kind)
        self.dim, self.points, self.batch = config.dim, config.train.points, config.estimator.batch
        torch.manual_seed(config.seed)
        self.network = _mlp(torch, self.dim, config.network, self.kind)
        rate, last = config.optimizer.learning_rate, config.schedule.final_fraction
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=rate)
        self.schedule = torch.optim.lr_scheduler.LinearLR(
            self.optimizer, start_factor=1.0, end_factor=last, total_iters=config.steps
        )

    def take(self, steps: int) -> float:
        """The seconds that so many steps take."""
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        return time.perf_counter() - start

    def step(self) -> None:
        x = self.draw_points()
        indices = self.torch.randperm(self.dim)[: self.batch]
        loss = (self.residual(x, indices) ** 2).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()

    def draw_points(self) -> Tensor:
        """Of uniform direction and uniform radius."""
        normals = self.torch.randn(self.points, self.dim, **self.kind)
        radii = self.source.radius * self.torch.rand(self.points, 1, **self.kind)
        return normals * (radii / normals.norm(dim=1, keepdim=True))

    def residual(self, x: Tensor, indices: Tensor) -> Tensor:
        """R at each point, with the Laplacian from the coordinates `indices`."""
        x = x.requires_grad_()
        u = (self.source.radius**2 - (x**2).sum(1)) * self.network(x).squeeze(1)
        (gradient,) = self.torch.autograd.grad(u.sum(), x, create_graph=True)
        total = 0
        for i in indices:
            slope = gradient[:, i].sum()
            (second,) = self.torch.autograd.grad(slope, x, create_graph=True)
            total = total + second[:, i]
        laplacian = self.dim / len(indices) * total
        return self.source.lhs(u, laplacian) - self.source(x.detach())


class Source:
    """lhs(u, Laplacian(u)) of an equation, and its source from the solution's own, in O(dim).

    The formulas are derived in `stde_cli.problem.pdes.solutions`; here they are written again for
    PyTorch, a test holds both against each other.
    """

    def __init__(self, pde: AbstractManufactured, torch: Any, kind: dict[str, Any]):
        self.torch, self.pde = torch, pde
        self.radius = pde.domain.radius
        self.coefficients = torch.tensor(np.array(pde.solution.coefficients), **kind)

    def lhs(self, u: Tensor, laplacian: Tensor) -> Tensor:
        match self.pde:
            case AllenCahn():
                return laplacian + u - u**3
            case SineGordon():
                return laplacian + self.torch.sin(u)
            case _:
                return laplacian

    def __call__(self, x: Tensor) -> Tensor:
        """f at each point."""
        total, radial, curvature = (part @ self.coefficients for part in self._terms(x))
        distance = self.radius**2 - (x**2).sum(1)
        laplacian = -2 * x.shape[1] * total - 4 * radial + distance * curvature
        return self.lhs(distance * total, laplacian)

    def _terms(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of each window its term t, sum_k x_k dt/dx_k and sum_k d^2t/dx_k^2."""
        torch = self.torch
        if isinstance(self.pde.solution, TwoBody):
            a, b = x[:, :-1], x[:, 1:]
            sin_a, cos_a, sin_b, cos_b = torch.sin(a), torch.cos(a), torch.sin(b), torch.cos(b)
            h = a + cos_b + b * cos_a
            sin_h, cos_h = torch.sin(h), torch.cos(h)
            h_a, h_b = 1 - b * sin_a, cos_a - sin_b
            second = -cos_h * (b * cos_a + cos_b) - sin_h * (h_a**2 + h_b**2)
            return sin_h, cos_h * (a * h_a + b * h_b), second
        a, b, c = x[:, :-2], x[:, 1:-1], x[:, 2:]
        ab, bc, ac = a * b, b * c, a * c
        term = torch.exp(ab * c)
        return term, 3 * ab * c * term, term * (ab**2 + bc**2 + ac**2)


def _pde_of(config: DictConfig) -> AbstractManufactured:
    """The equation, with the coefficients that JAX draws."""
    plain = OmegaConf.merge(config, {})
    plain.estimator = {"_target_": "stde_cli.Exact"}
    assert isinstance(plain, DictConfig)
    pde: AbstractPDE = build(plain).problem.pde
    solution: AbstractSolution | Any = pde.solution
    if not isinstance(pde, AllenCahn | Poisson | SineGordon):
        why = "its source is not written in PyTorch"
        raise UsageError("pde", config.choices.get("pde"), why, "allen_cahn, poisson, sine_gordon")
    if not isinstance(solution, TwoBody | ThreeBody):
        why = "its source is not written in PyTorch"
        raise UsageError("pde/solution", config.choices.get("pde/solution"), why, "two_body")
    return pde


def _mlp(torch: Any, dim: int, settings: DictConfig, kind: dict[str, Any]) -> Any:
    """The network's shape and its first weights' distribution: variance 1/inputs, zero biases."""
    activations = {"tanh": torch.nn.Tanh, "silu": torch.nn.SiLU, "softplus": torch.nn.Softplus}
    if settings.activation not in activations:
        why, known = "has no layer in PyTorch's step", ", ".join(activations)
        raise UsageError("network.activation", settings.activation, why, f"one of {known}")
    sizes = [dim, *[settings.width] * (settings.depth - 1), 1]
    layers = []
    for inputs, outputs in pairwise(sizes):
        layer = torch.nn.Linear(inputs, outputs, **kind)
        torch.nn.init.normal_(layer.weight, std=inputs**-0.5)
        torch.nn.init.zeros_(layer.bias)
        layers += [layer, activations[settings.activation]()]
    return torch.nn.Sequential(*layers[:-1])
