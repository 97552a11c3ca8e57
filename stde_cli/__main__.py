import sys

from stde_cli.cli.main import main

sys.exit(main())
