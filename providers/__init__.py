"""Provider plugins of this repository, each removable with its folder and one entry-point line."""
