"""The console for managers: pages over the public HTTP APIs, with no rights but those of whoever is signed in."""
