"""One flat recipe for each trained model."""
