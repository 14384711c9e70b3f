"""The composition roots, one file a group of commands: the only places that name concrete classes."""
