"""Bulk data export (HL7 FHIR Bulk Data Access 2.0): what was asked, how far it is, and where that is kept (ADR 0033)."""
