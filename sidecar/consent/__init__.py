"""Who may be analysed, and the proof of it."""
