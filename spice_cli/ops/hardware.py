"""What the hardware is good at."""

import torch


def multiplies_bf16(device: torch.device) -> bool:
    """Say whether the device has instructions for products in bf16, which make them cheap."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capable = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(capable.get("avx512_bf16") or capable.get("amx_bf16"))
