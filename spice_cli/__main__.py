from spice_cli.cli import main

main()
