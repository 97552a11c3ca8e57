"""The form of the solution: lift + constraint * (guess + scale * network), and networks.

May import problem and what is below it. The estimators below it see an ansatz only as a field that
restricts itself.
"""
