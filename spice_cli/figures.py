"""How numbers are spelled for people."""


def figure(value: float) -> str:
    """Spell a score to four decimals, and a count as the whole number it is."""
    return str(value) if isinstance(value, int) else f"{value:.4f}"
