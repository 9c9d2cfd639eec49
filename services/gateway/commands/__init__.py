"""From a request to its topic, and from the topic to the answer."""
