"""What R4 asks beyond structure: bindings, targets of references, URIs, narrative, and invariants."""
