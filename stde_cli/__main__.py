from stde_cli.cli.main import program

if __name__ == "__main__":
    program()
