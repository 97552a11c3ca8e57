"""Memory and devices as the running process sees them."""

import re
import resource
import sys
from contextlib import suppress
from pathlib import Path

import jax


def reset_peak_memory() -> None:
    """Let the resident set's high-water mark start anew (Linux; elsewhere nothing happens)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> float:
    """Peak memory in 10^6 bytes: the device allocator's, or on the CPU the resident set's."""
    statistics = jax.local_devices()[0].memory_stats()
    if statistics and "peak_bytes_in_use" in statistics:
        return statistics["peak_bytes_in_use"] / 1e6
    return _resident_high_water() / 1e6


def _resident_high_water() -> int:
    if (high := _status_bytes("VmHWM")) is not None:
        return high
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def available_memory_bytes() -> int | None:
    """What a run may still take of the device, or of the host and its control group."""
    statistics = jax.local_devices()[0].memory_stats()
    if statistics and "bytes_limit" in statistics:
        return statistics["bytes_limit"] - statistics.get("bytes_in_use", 0)
    return available_host_bytes()


def available_host_bytes() -> int | None:
    """What this process may still take of the host; no device is touched."""
    found = (_host_available(), _group_available(), _process_available())
    return min((limit for limit in found if limit is not None), default=None)


def _host_available() -> int | None:
    try:
        match = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        return None
    return int(match[1]) * 1024 if match else None


def _group_available() -> int | None:
    root = Path("/sys/fs/cgroup")
    try:
        limit = (root / "memory.max").read_text().strip()
        used = int((root / "memory.current").read_text())
        # Pages of files that the kernel gives back when memory is asked for.
        cached = re.search(r"^inactive_file (\d+)", (root / "memory.stat").read_text(), re.M)
    except OSError:
        return None
    return None if limit == "max" else int(limit) - used + int(cached[1] if cached else 0)


def _process_available() -> int | None:
    """What a limit set on this process leaves of its data."""
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    held = _status_bytes("VmData")
    return None if limit == resource.RLIM_INFINITY or held is None else max(0, limit - held)


def limit_memory(further: int) -> None:
    """Let this process take no more than `further` bytes beyond what it holds (Linux).

    Allocators are then refused before the machine runs short. Data are limited, not addresses:
    those of a process with XLA's threads are a GB more than it ever touches. Where memory runs out
    all the same, the kernel ends this process first.
    """
    if (held := _status_bytes("VmData")) is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = held + further
        resource.setrlimit(
            resource.RLIMIT_DATA,
            (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard),
        )
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def spare_memory_bytes() -> int:
    """What this process held at its peak, less what it holds: it may take that again (Linux)."""
    peak, held = _status_bytes("VmHWM"), _status_bytes("VmRSS")
    return 0 if peak is None or held is None else peak - held


def _status_bytes(name: str) -> int | None:
    with suppress(OSError):
        match = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
        return int(match[1]) * 1024 if match else None
    return None


def device_name() -> str:
    """For example "cpu" or "NVIDIA A100-SXM4-40GB"."""
    return jax.local_devices()[0].device_kind
