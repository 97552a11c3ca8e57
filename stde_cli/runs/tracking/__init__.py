"""Where figures go while a run goes on."""

from stde_cli.runs.tracking.jsonl import JsonlTracker as JsonlTracker
from stde_cli.runs.tracking.tracker import CompositeTracker as CompositeTracker
from stde_cli.runs.tracking.tracker import NoTracker as NoTracker
from stde_cli.runs.tracking.tracker import Tracker as Tracker
