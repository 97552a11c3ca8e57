"""A study: many runs, by which optuna searches for the best configuration.

    objectives.py   what is made small
    trial.py        a run as one of the trials: figures on the way, the end
    storage.py      the file of a study
    processes.py    who is at work on it
    study.py        trials asked for, given up, tried again; other studies refused
    outcome.py      what a study came to: the best trials, study.json
    reading.py      that of optuna's own records

Optuna, an extra, is imported by storage, study and reading alone, and by a trial once it is one.
"""
