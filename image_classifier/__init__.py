"""The work behind the commands: what several packages share, and the packages."""
