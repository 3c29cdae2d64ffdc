"""How moments are written where Django writes them: as on every page of ours."""
