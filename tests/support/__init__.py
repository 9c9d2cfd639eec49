"""What the tests of more than one folder use. Fixtures are made of it in the conftest.py of each folder."""
