"""How the derivatives in an expression are computed: from its text to a report, and tables."""
