"""Where figures go while a run goes on."""

from stde_cli.tracking.jsonl import JsonlTracker as JsonlTracker
from stde_cli.tracking.tracker import CompositeTracker as CompositeTracker
from stde_cli.tracking.tracker import NoTracker as NoTracker
from stde_cli.tracking.tracker import Tracker as Tracker
