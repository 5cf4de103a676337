"""The pages for people: files as they are, without a build step, that load nothing from elsewhere."""
