"""What the admin pages of every app share: acts (one button, one page, one service call), live pages, words."""
