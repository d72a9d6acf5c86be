"""Speed against peers, and long quality runs. `python -m benchmarks --help` lists them."""
