"""A package, lest one of this name be taken that another project installs (torch-fidelity)."""
