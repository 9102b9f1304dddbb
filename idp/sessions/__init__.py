"""Browser sessions at the provider and their cookies."""
