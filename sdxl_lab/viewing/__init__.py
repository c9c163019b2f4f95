"""Looking at records: compare, report, show."""
