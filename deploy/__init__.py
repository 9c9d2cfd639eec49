"""What it takes to run Tillstream: the embedded stack, the demo day, and the installer."""
