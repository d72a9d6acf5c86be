# What people do most here.

test:
    pytest -n 2

check:
    ruff check . && ruff format --check . && mypy

docs:
    spice reference > docs/cli.md

kill trials="20":
    python benchmarks/kill.py --trials {{trials}}
