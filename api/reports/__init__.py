"""Reports: figures and lists of a tenant as files for spreadsheets and programs (FI-2, TZ-6)."""
