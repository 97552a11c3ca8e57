"""From a problem to trained parameters: start, state, step, loop, checkpoints, schedules.

The step is pure; the loop yields now and then, and what is due then is the business of jobs. May
import runs and what is below it.
"""

from stde_cli.training import schedules as schedules
from stde_cli.training.initialisation import Initialisation as Initialisation
from stde_cli.training.loop import MAX_STEPS_PER_CALL as MAX_STEPS_PER_CALL
from stde_cli.training.loop import Chunk as Chunk
from stde_cli.training.loop import Executable as Executable
from stde_cli.training.loop import advance as advance
from stde_cli.training.state import Problem as Problem
from stde_cli.training.state import TrainerState as TrainerState
from stde_cli.training.state import initial_state as initial_state
