"""Programs to copy from: each uses Everlink as any product would, by its client and its script."""
