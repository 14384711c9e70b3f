"""What each modality does before fusion: media and inference wired together, one stage a modality."""
