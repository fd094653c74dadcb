"""Erasure of a patient (GDPR, article 17): the keys are destroyed, the index is purged, tombstones and leaves stay."""
