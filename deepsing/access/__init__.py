"""Who may call, how much, and over what: API keys, tokens, quotas and TLS. All of it is off until it is asked for."""
