"""What an event becomes: normalised, scrubbed, grouped. Pure: no Django, no clock, no I/O."""
