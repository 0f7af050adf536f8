//! The command line: one file a command, flags -> plain options -> library -> print.
