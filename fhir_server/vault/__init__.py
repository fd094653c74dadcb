"""The vault: store and keys together.  Records go in sealed and come out opened only here."""
