"""Model cards and the bill of materials: the code that writes them, and what it wrote."""
