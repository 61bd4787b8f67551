"""Deep beside classical: candidates on the same folds, and a verdict."""
