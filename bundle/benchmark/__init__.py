"""The product measured against a plain restatement of what a user would take instead."""
