"""What can be done with windows. The only modules that write them; every change is audited and published."""
