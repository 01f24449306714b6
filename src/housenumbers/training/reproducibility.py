"""Equal configuration, equal bits: seeds, deterministic kernels, and a record of other influences on the bits."""

import os
import platform
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from housenumbers.runtime import processes
from housenumbers.runtime.versions import lock_sha256, package_versions

# Read by oneDNN (earlier DNNL), MKL, OpenMP, NumPy and the libraries of CUDA. They affect instructions, the order of
# sums and rounding.
_VARIABLES = (
    "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_CPU_ISA_HINTS", "DNNL_CPU_ISA_HINTS",
    "ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "MKL_DYNAMIC",
    "MKL_DEBUG_CPU_TYPE", "MKL_VML_MODE", "OMP_DYNAMIC", "OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES",
    "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG",
)  # fmt: skip

# What `seed_everything` sets for the rest of the process: without it cuBLAS may sum in any order.
_CUBLAS_WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

_DEFAULT_THREADS = torch.get_num_threads()  # torch's own number: runs and loaded models change it later


def set_threads(threads: int | None) -> None:
    """Sets the number of CPU threads of the whole process; None is torch's own number, whatever was set before."""
    torch.set_num_threads(threads or _DEFAULT_THREADS)


def seed_everything(seed: int) -> None:
    """Seeds torch (CUDA included), NumPy and Python's `random`, and selects deterministic kernels of cuDNN and cuBLAS.

    Our random streams do not depend on these generators. The initial weights and custom code may.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    os.environ.setdefault(*_CUBLAS_WORKSPACE)


@contextmanager
def float32_by_default() -> Iterator[None]:
    """New tensors are float32 within the block, whatever the calling program has set."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def uses_bfloat16(autocast: bool | str, device: torch.device) -> bool:
    """Whether a step runs in bfloat16: `autocast` is false (never), "cuda", or true: also on the CPU.

    Only where the device has instructions for it: emulation is slower than float32.
    """
    if device.type == "cuda":
        return bool(autocast) and torch.cuda.is_bf16_supported(including_emulation=False)
    return autocast is True and device.type == "cpu" and _cpu_has_bfloat16()


def environment(device: torch.device) -> dict[str, Any]:
    """The influences on the bits besides configuration and data, as plain values.

    `threads` of a process, `world_size` (the number of processes), `device`, `versions`, `lock_sha256`, `cpu` and
    `arithmetic`.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "threads": torch.get_num_threads(),
        "world_size": processes.world_size(),
        "device": name,
        "versions": dict(package_versions()),
        "lock_sha256": lock_sha256(),
        "cpu": f"{_cpu_model()}, {torch.backends.cpu.get_cpu_capability()}"
        + (", bfloat16" if _cpu_has_bfloat16() else ""),
        "arithmetic": _arithmetic(),
    }


def _arithmetic() -> dict[str, Any]:
    """Settings that change the bits on the same processor: torch's settings, and the variables that are set.

    torch's kernels use `cpu_capability`, which ATEN_CPU_CAPABILITY lowers. For oneDNN and MKL only the variables are
    visible.
    """
    with warnings.catch_warnings(action="ignore"):  # torch 2.9 warns that the function is old
        precision = torch.get_float32_matmul_precision()
    return {
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "float32_matmul_precision": precision,
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "onednn": torch.backends.mkldnn.is_available() and torch._C._get_mkldnn_enabled(),
    } | {name: os.environ[name] for name in _VARIABLES if name in os.environ and not _is_ours(name)}


def _is_ours(variable: str) -> bool:
    """Whether the variable has the value that `seed_everything` sets."""
    return (variable, os.environ[variable]) == _CUBLAS_WORKSPACE


@cache
def _cpu_has_bfloat16() -> bool:
    """True if the processor has instructions for bfloat16 and oneDNN uses them. ONEDNN_MAX_CPU_ISA can prevent that.

    If oneDNN does not use them, torch computes bfloat16 convolutions in a plain loop, 100 times as slowly as float32.
    """
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not in an older torch
    has_instructions = any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return has_instructions and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@cache
def _cpu_model() -> str:
    """The processor's name, with family and model where known, since a virtual machine's name hides them."""
    try:
        first, _, _ = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")
        info = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
        name = info["model name"]
    except (OSError, KeyError):
        return platform.processor() or platform.machine()
    known = "cpu family" in info and "model" in info
    return f"{name} (family {info['cpu family']}, model {info['model']})" if known else name
