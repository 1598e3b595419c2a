"""A project as a whole: what each key of the configuration means and costs, and what runs, is stale, takes space."""
