"""How near the phantom comes to real CESM pairs: named quantities, a classifier, and two galleries side by side."""
