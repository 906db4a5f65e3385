"""A name, an ID and an accession number that stand in the test images, and that no log may hold."""

PLANTED = ("Zwetschgenbaum", "PID-4711-Q", "ACC-0815-Q")
