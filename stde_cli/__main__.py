from stde_cli.cli.main import program

program()
