"""What each command does, from files to files; `cli` only names the options, so that --help need not load torch."""
