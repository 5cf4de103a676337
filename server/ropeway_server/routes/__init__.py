"""Routes by topic: they parse, call and shape, and know nothing else."""
