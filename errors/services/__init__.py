"""What the platform does with errors. Every write to them starts here (reports arrive through errors.intake)."""
