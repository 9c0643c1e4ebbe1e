"""Archives of snapshots with a guaranteed error bound."""
