"""What the platform can do with backups. Every write to this app's rows starts here."""
