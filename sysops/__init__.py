"""The Django project and the ground everybody stands on."""
