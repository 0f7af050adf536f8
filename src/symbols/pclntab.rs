//! Go's own line tables.
